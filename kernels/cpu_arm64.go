package kernels

import "golang.org/x/sys/cpu"

// What the assembly of each set needs besides ARMv8.0.
var (
	hasDotProd = cpu.ARM64.HasASIMDDP
	hasI8MM    = hasDotProd && (cpu.ARM64.HasI8MM || detectI8MM())
)

var features = []feature{{"asimddp", hasDotProd}, {"i8mm", hasI8MM}}

// Pause tells the CPU that the caller spins. ISB takes about as long as x86's PAUSE, which gives the memory system a rest;
// YIELD does nothing on most CPUs.
func Pause()

// Processor returns the number of the processor that the caller runs on at this moment, -1 where it
// is not known cheaply, as here.
func Processor() int32 { return -1 }

// fetchLines asks for cache lines from the one that p lies in on. It reads nothing, so they may be anywhere.
//
//go:noescape
func fetchLines(p *byte, lines int)
