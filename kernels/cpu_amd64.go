package kernels

import "golang.org/x/sys/cpu"

// What the assembly of each set needs. The operating system's support for the registers is part of
// these flags.
var (
	hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C

	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ &&
		cpu.X86.HasAVX512VNNI
)

// Pause tells the CPU that the caller spins, which leaves more of the core to its other thread.
func Pause()
