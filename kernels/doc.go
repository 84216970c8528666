// Package kernels is the arithmetic of the runtime: matrix products over panels, attention, norms,
// rotary embedding, activations. It knows numbers in memory; it knows no model, no file and no thread.
//
// Every kernel is defined once, by its plain-Go version in the files named reference_*.go: which
// operations make one output number, and in which order, depends on the sizes of the model and the
// position of the token alone. Every other version of a kernel equals it bit for bit, except for
// the sign and payload of NaNs. Therefore answers never depend on the instruction set, on how many
// tokens go through together, or on how work is split over threads.
//
// Start reading at set.go, then reference_matmul.go.
package kernels

// Numerics is the version of the arithmetic: it changes when the same file and settings would give other bits.
const Numerics = 1
