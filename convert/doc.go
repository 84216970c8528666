// Package convert turns a HuggingFace model directory into a .tti file.
//
// A conversion is a plan, then its execution. The plan lists every section of the target: what it
// is called, how it is encoded and which source tensor it comes from; it is complete, with every
// shape checked, before a byte is written. The execution encodes sections in parallel, a few panels
// of 16 rows at a time, so that memory does not grow with the model.
//
// The source is mapped and never trusted: everything a hostile directory can contain is refused by
// an error of one line that names the file or tensor. The package writes nothing but the target, and
// runs a model only to calibrate it by a text.
//
// Start reading at convert.go, then plan.go and gpt2.go; encode.go does the work. Calibration has
// its own files: calibrate.go, moments.go and calibrate_walk.go. repack.go takes a .tti file for the source.
package convert
