package kernels

import (
	"runtime"
	"sync"

	"golang.org/x/sys/cpu"
)

// What the assembly of each set needs. The operating system's support for the registers is part of
// these flags.
var (
	hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C

	hasAVXVNNI = hasAVX2 && cpu.X86.HasAVXVNNI

	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ &&
		cpu.X86.HasAVX512VNNI

	hasAVX512GFNI = hasAVX512 && cpu.X86.HasAVX512GFNI
)

var features = []feature{
	{"avx2", cpu.X86.HasAVX2},
	{"fma", cpu.X86.HasFMA},
	{"f16c", cpu.X86.HasF16C},
	{"avx_vnni", cpu.X86.HasAVXVNNI},
	{"avx512f", cpu.X86.HasAVX512F},
	{"avx512bw", cpu.X86.HasAVX512BW},
	{"avx512vl", cpu.X86.HasAVX512VL},
	{"avx512dq", cpu.X86.HasAVX512DQ},
	{"avx512_vnni", cpu.X86.HasAVX512VNNI},
	{"gfni", cpu.X86.HasAVX512GFNI}, // of no use to a set without AVX-512
	{"amx_tile", cpu.X86.HasAMXTile},
	{"amx_int8", cpu.X86.HasAMXInt8},
}

// hasAMX is asked for when the sets are first looked for: the operating system must be asked for permission to use tiles.
var hasAMX = sync.OnceValue(func() bool {
	return hasAVX512 && cpu.X86.HasAMXTile && cpu.X86.HasAMXInt8 && permitTiles()
})

// Pause tells the CPU that the caller spins, which leaves more of the core to its other thread.
func Pause()

// knowsProcessor: Linux keeps the number of the processor in the low 12 bits of what RDTSCP returns
// beside the time.
var knowsProcessor = runtime.GOOS == "linux" && hasRDTSCP()

// Processor returns the number of the processor that the caller runs on at this moment, -1 where it
// is not known cheaply.
func Processor() int32 {
	if !knowsProcessor {
		return -1
	}
	return processor()
}

// fetchLines asks for cache lines from the one that p lies in on. It reads nothing, so they may be anywhere.
//
//go:noescape
func fetchLines(p *byte, lines int)

func hasRDTSCP() bool

func processor() int32
