//go:build !amd64

package kernels

// Pause tells the CPU that the caller spins. Here it does nothing.
func Pause() {}
