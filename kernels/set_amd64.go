package kernels

import "golang.org/x/sys/cpu"

// sets holds what this architecture has, the fastest first.
var sets = []*Set{avx512Set(), avx2Set(), &reference}

func avx512Set() *Set {
	s := withAVX512Rows(reference)
	s.name = "avx512"
	s.supported = func() bool {
		return cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL
	}
	return &s
}

func avx2Set() *Set {
	s := withAVX2Rows(reference)
	s.name = "avx2"
	s.supported = func() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C }
	return &s
}
