//go:build !amd64 && !arm64

package kernels

var features []feature

// Pause tells the CPU that the caller spins. Here it does nothing.
func Pause() {}

// Processor returns the number of the processor that the caller runs on at this moment, -1 where it
// is not known cheaply, as here.
func Processor() int32 { return -1 }

// fetchLines asks for cache lines. Here it does nothing.
func fetchLines(p *byte, lines int) {}
