package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// In the kernels of the integer encodings the registers hold exact int32 sums of one group of 64
// columns. At its end they are folded into float32 sums, which lie on the stack and so in the
// first-level cache.

// integerState holds the addresses that the integer kernels need besides.
type integerState struct {
	scratch     reg.GPVirtual // float32 sums [tokens, vectors], then int32 ones if needed
	scales      reg.GPVirtual // activation scale of the first token in this group
	codeSums    reg.GPVirtual // sum of the first token's codes in this group
	groupScales reg.GPVirtual // int4 scales of the first panel in this group
}

// folded returns the place of a float32 sum.
func (s *integerState) folded(k *kernel, t, v int) Mem {
	return Mem{Base: s.scratch, Disp: (t*k.vectors() + v) * k.bytes}
}

// half returns the place of an int32 sum of half a group.
func (s *integerState) half(k *kernel, t, v int) Mem { return s.folded(k, t+k.tokens, v) }

// allocateScratch reserves room for the sums on the stack, aligned to cache lines.
func (k *kernel) allocateScratch() {
	size := k.tokens * k.vectors() * k.bytes
	if k.halves {
		size *= 2
	}
	k.state.scratch, k.state.scales, k.state.codeSums = GP64(), GP64(), GP64()
	LEAQ(AllocLocal(size+lineBytes).Offset(lineBytes-1), k.state.scratch)
	ANDQ(I32(-lineBytes), k.state.scratch)
	if !k.rowScales {
		k.state.groupScales = Load(Param("scales"), GP64()).(reg.GPVirtual)
	}
}

// startTile clears the float32 sums and goes back to the first group.
func (k *kernel) startTile() {
	zero := k.vector()
	k.zero(zero)
	for t, sums := range k.sums {
		for v := range sums {
			VMOVUPS(zero, k.state.folded(k, t, v))
		}
	}
	Load(Param("xScales"), k.state.scales)
	Load(Param("xSums"), k.state.codeSums)
}

// int32Dots multiplies a group with int32 sums. They start at what the offset of the stored codes,
// 1<<offset, will add too much. The sums are 1<<excess times too large.
func int32Dots(offset, excess uint64) func(k *kernel) {
	return func(k *kernel) {
		zero := k.vector()
		k.zero(zero)
		codeSum := k.tokenValues(k.state.codeSums)
		for t, sums := range k.sums {
			VPBROADCASTD(codeSum(t), sums[0])
			VPSLLD(Imm(offset+excess), sums[0], sums[0])
			VPSUBD(sums[0], zero, sums[0])
			for _, sum := range sums[1:] {
				k.move(sums[0], sum)
			}
		}
		k.lines("line", groupColumns/k.columns)
		if excess > 0 {
			for _, sums := range k.sums {
				for _, sum := range sums {
					VPSRAD(Imm(excess), sum, sum)
				}
			}
		}
		k.fold()
	}
}

// int16Dots multiplies a group in two halves with int16 sums, and widens each to int32.
func int16Dots(offset uint64) func(k *kernel) {
	return func(k *kernel) {
		k.clear()
		k.lines("first_half", groupColumns/k.columns/2)
		codeSum := k.tokenValues(k.state.codeSums)
		for t, sums := range k.sums {
			excess := k.vector()
			VPBROADCASTD(codeSum(t), excess)
			VPSLLD(Imm(offset), excess, excess)
			for v, sum := range sums {
				VPMADDWD(k.ones, sum, sum)
				VPSUBD(excess, sum, sum)
				VMOVDQU(sum, k.state.half(k, t, v))
			}
		}
		k.clear()
		k.lines("second_half", groupColumns/k.columns/2)
		for t, sums := range k.sums {
			for v, sum := range sums {
				VPMADDWD(k.ones, sum, sum)
				VPADDD(k.state.half(k, t, v), sum, sum)
			}
		}
		k.fold()
	}
}

// fold adds scale*dot to the float32 sums and goes on to the next group.
func (k *kernel) fold() {
	scale := k.tokenValues(k.state.scales)
	token := func(t int) reg.VecVirtual {
		x := k.vector()
		VBROADCASTSS(scale(t), x)
		return x
	}
	weight := func(int) reg.VecVirtual { return nil } // int8: row scales follow at the end
	if !k.rowScales {
		weight = k.loadGroupScales()
	}
	k.products(weight, token, func(t, v int, w, x reg.VecVirtual) {
		if w != nil {
			product := k.vector()
			VMULPS(w, x, product)
			x = product
		}
		sum, place := k.sums[t][v], k.state.folded(k, t, v)
		VCVTDQ2PS(sum, sum)
		VFMADD213PS(place, x, sum)
		VMOVUPS(sum, place)
	})
	ADDQ(I32(4), k.state.scales)
	ADDQ(I32(4), k.state.codeSums)
	if !k.rowScales {
		ADDQ(I32(panelRows*2), k.state.groupScales)
	}
}

// tokenValues returns a function that gives the addresses of the tokens' values of the current
// group, in ascending order.
func (k *kernel) tokenValues(first reg.GPVirtual) func(t int) Mem {
	address := first
	return func(t int) Mem {
		if t > 0 {
			next := GP64()
			LEAQ(Mem{Base: address, Index: k.groups, Scale: 4}, next)
			address = next
		}
		return Mem{Base: address}
	}
}

// loadGroupScales returns a function that loads the int4 scales of the current group for one
// register of rows after the other, in ascending order, and prefetches those of the next tile.
func (k *kernel) loadGroupScales() func(v int) reg.VecVirtual {
	distance, address := multiple(k.groups, panelRows*2), GP64()
	MOVQ(k.state.groupScales, address)
	return func(v int) reg.VecVirtual {
		part := v % k.perPanel
		if v > 0 && part == 0 {
			ADDQ(distance, address)
		}
		w := k.vector()
		VCVTPH2PS(Mem{Base: address, Disp: part * k.bytes / 2}, w)
		if v == k.vectors()-1 {
			for range k.panels {
				ADDQ(distance, address)
				PREFETCHT1(Mem{Base: address})
			}
		}
		return w
	}
}

// nextTileScales goes on to the int4 scales of the next tile. The groups have moved the address by
// one panel.
func (k *kernel) nextTileScales() {
	step := multiple(k.groups, panelRows*2)
	IMUL3Q(I32(k.panels-1), step, step)
	ADDQ(step, k.state.groupScales)
}
