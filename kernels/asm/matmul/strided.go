package main

import (
	"math/bits"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// strided addresses a few things at equal distances: panels, or tokens. A row is one of them.
type strided struct {
	base reg.GPVirtual
	odd  map[int]reg.GPVirtual // odd multiples of the distance: an address can contain 1, 2, 4 or 8 times one of them
}

// newStrided prepares the addresses of count rows, at most 16.
func newStrided(a *amd64.Assembler, base, distance reg.GPVirtual, count int) strided {
	s := strided{base: base, odd: map[int]reg.GPVirtual{1: distance}}
	for multiple := 3; multiple < count; multiple += 2 {
		scale := 1 << (bits.Len(uint(multiple-1)) - 1) // the power of two below the multiple
		s.odd[multiple] = a.GP64()
		a.LEAQ(operand.Mem{Base: s.odd[multiple-scale], Index: distance, Scale: uint8(scale)}, s.odd[multiple])
	}
	return s
}

// with returns rows at the same distance from another base.
func (s strided) with(base reg.GPVirtual) strided { return strided{base: base, odd: s.odd} }

// row returns the address of row i.
func (s strided) row(i int) operand.Mem {
	if i == 0 {
		return operand.Mem{Base: s.base}
	}
	scale := i & -i
	return operand.Mem{Base: s.base, Index: s.odd[i/scale], Scale: uint8(scale)}
}
