package main

import (
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"
)

const (
	lineBytes    = 64 // of a panel: a block of columns of all 16 rows
	panelRows    = 16
	groupColumns = 64
)

// A machine is a register width.
type machine struct {
	name     string
	bytes    int // in a register
	perPanel int // registers that hold one number for each of the 16 rows
	vector   func() reg.VecVirtual
}

var (
	avx512 = &machine{name: "AVX512", bytes: 64, perPanel: 1, vector: ZMM}
	avx2   = &machine{name: "AVX2", bytes: 32, perPanel: 2, vector: YMM}
)

func (m *machine) zero(v Op) {
	if m == avx2 {
		VPXOR(v, v, v)
		return
	}
	i, err := x86.VPXORD(v, v, v)
	if err != nil {
		panic(err)
	}
	i.CancellingInputs = true // avo knows this of VPXOR only, and would keep v reserved before
	Instruction(i)
}

func (m *machine) move(from, to Op) {
	if m == avx512 {
		VMOVDQU32(from, to)
	} else {
		VMOVDQU(from, to)
	}
}

func (m *machine) and(a, b, to Op) {
	if m == avx512 {
		VPANDD(a, b, to)
	} else {
		VPAND(a, b, to)
	}
}

// strided addresses a few rows at equal distance: panels, tokens.
type strided struct {
	base reg.GPVirtual
	odd  map[int]reg.GPVirtual // odd multiples of the distance
}

// newStrided prepares addresses of count rows. The multiples may be shared by another base.
func newStrided(base, distance reg.GPVirtual, count int) strided {
	s := strided{base: base, odd: map[int]reg.GPVirtual{1: distance}}
	for multiple := 3; multiple < count; multiple += 2 {
		scale := 1 << (bits.Len(uint(multiple-1)) - 1) // the power of two below the multiple
		s.odd[multiple] = GP64()
		LEAQ(Mem{Base: s.odd[multiple-scale], Index: distance, Scale: uint8(scale)}, s.odd[multiple])
	}
	return s
}

// with returns the same rows from another base.
func (s strided) with(base reg.GPVirtual) strided { return strided{base: base, odd: s.odd} }

// row returns the address of row i.
func (s strided) row(i int) Mem {
	if i == 0 {
		return Mem{Base: s.base}
	}
	scale := i & -i
	return Mem{Base: s.base, Index: s.odd[i/scale], Scale: uint8(scale)}
}
