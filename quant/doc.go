// Package quant turns rows of float32 weights into the panels of the .tti container and back, and
// measures what that costs in accuracy. It knows matrices; it never computes with activations and
// never touches a file.
//
// Start reading at encode.go and scale.go (what a panel is says package panel); solver.go and
// rounding.go round by the statistics of a matrix's inputs.
package quant
