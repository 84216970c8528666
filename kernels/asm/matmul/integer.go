package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// integer is what the integer encodings add to a kernel: the registers hold exact int32 sums of one
// group of 64 columns, which are folded into float32 sums in memory (in the first-level cache) at
// its end.
type integer struct {
	// group multiplies the lines of one group and folds the sums.
	group func(k *kernel)
	// halves says that it needs room for int32 sums too.
	halves bool
}

// integerState holds the addresses that move along the groups.
type integerState struct {
	scratch     reg.GPVirtual // float32 sums [tokens, vectors], then int32 sums if needed
	scales      reg.GPVirtual // activation scale of the first token
	sums        reg.GPVirtual // sum of the first token's codes
	groupScales reg.GPVirtual // weight scales of the first panel, of int4
}

func (s *integerState) folded(k *kernel, token, v int) Mem {
	return Mem{Base: s.scratch, Disp: (token*k.vectors() + v) * k.bytes}
}

func (s *integerState) half(k *kernel, token, v int) Mem {
	return s.folded(k, token+k.tokens, v)
}

// allocateScratch reserves room for the float32 sums on the stack, aligned to cache lines.
func (k *kernel) allocateScratch() {
	size := k.tokens * k.vectors() * k.bytes
	if k.integer.halves {
		size *= 2
	}
	k.state.scratch = GP64()
	LEAQ(AllocLocal(size+lineBytes).Offset(lineBytes-1), k.state.scratch)
	ANDQ(I32(-lineBytes), k.state.scratch)
	k.state.scales, k.state.sums = GP64(), GP64()
	if !k.rowScales {
		k.state.groupScales = Load(Param("scales"), GP64()).(reg.GPVirtual)
	}
}

// startTile clears the float32 sums and goes back to the first group.
func (k *kernel) startTile() {
	zero := k.vector()
	k.zero(zero)
	for t := range k.tokens {
		for v := range k.vectors() {
			VMOVUPS(zero, k.state.folded(k, t, v))
		}
	}
	Load(Param("xScales"), k.state.scales)
	Load(Param("xSums"), k.state.sums)
}

// dotsFromOffset multiplies a group with int32 sums that start at what the offset of the stored
// codes, 2^offset, will have added too much. The sums are 2^excess times too large.
func dotsFromOffset(offset, excess uint64) func(k *kernel) {
	return func(k *kernel) {
		zero := k.vector()
		k.zero(zero)
		k.eachToken(k.state.sums, func(t int, sum Mem) {
			first := k.sums[t][0]
			VPBROADCASTD(sum, first)
			VPSLLD(Imm(offset+excess), first, first)
			VPSUBD(first, zero, first)
			for _, other := range k.sums[t][1:] {
				k.move(first, other)
			}
		})
		k.lines("line", groupColumns/k.columns)
		if excess > 0 {
			for t := range k.sums {
				for _, sum := range k.sums[t] {
					VPSRAD(Imm(excess), sum, sum)
				}
			}
		}
		k.fold()
	}
}

// dotsByHalves multiplies a group of int4 in two halves of 16-bit sums, each widened to int32.
func dotsByHalves(k *kernel) {
	k.clear()
	k.lines("low", groupColumns/k.columns/2)
	k.eachToken(k.state.sums, func(t int, sum Mem) {
		offset := k.vector()
		VPBROADCASTD(sum, offset)
		VPSLLD(Imm(3), offset, offset)
		for v, sum := range k.sums[t] {
			VPMADDWD(k.ones, sum, sum)
			VPSUBD(offset, sum, sum)
			VMOVDQU(sum, k.state.half(k, t, v))
		}
	})
	k.clear()
	k.lines("high", groupColumns/k.columns/2)
	for t := range k.sums {
		for v, sum := range k.sums[t] {
			VPMADDWD(k.ones, sum, sum)
			VPADDD(k.state.half(k, t, v), sum, sum)
		}
	}
	k.fold()
}

// fold adds scale*dot to the float32 sums and goes on to the next group.
func (k *kernel) fold() {
	weightScale := k.groupScales()
	k.eachToken(k.state.scales, func(t int, scale Mem) {
		x := k.vector()
		VBROADCASTSS(scale, x)
		for v, sum := range k.sums[t] {
			s := x
			if w := weightScale(v); w != nil {
				s = k.vector()
				VMULPS(w, x, s)
			}
			VCVTDQ2PS(sum, sum)
			VFMADD213PS(k.state.folded(k, t, v), s, sum)
			VMOVUPS(sum, k.state.folded(k, t, v))
		}
	})
	ADDQ(I32(4), k.state.scales)
	ADDQ(I32(4), k.state.sums)
}

// eachToken calls f with the address of every token's value of the current group.
func (k *kernel) eachToken(first reg.GPVirtual, f func(t int, value Mem)) {
	address := first
	for t := range k.tokens {
		if t > 0 {
			next := GP64()
			LEAQ(Mem{Base: address, Index: k.groups, Scale: 4}, next)
			address = next
		}
		f(t, Mem{Base: address})
	}
}

// groupScales returns a function that gives the int4 scales of the current group for one register
// of rows, and nil for int8. With several tokens they are loaded once.
func (k *kernel) groupScales() func(v int) reg.VecVirtual {
	if k.rowScales {
		return func(int) reg.VecVirtual { return nil }
	}
	distance := shifted(k.groups, panelRows*2)
	address := GP64()
	MOVQ(k.state.groupScales, address)
	load := func(v int) reg.VecVirtual {
		part := v % k.perPanel
		if v > 0 && part == 0 {
			ADDQ(distance, address)
		}
		w := k.vector()
		VCVTPH2PS(Mem{Base: address, Disp: part * k.bytes / 2}, w)
		return w
	}
	ADDQ(I32(panelRows*2), k.state.groupScales)
	if k.tokens == 1 {
		return load
	}
	loaded := make([]reg.VecVirtual, k.vectors())
	for v := range loaded {
		loaded[v] = load(v)
	}
	return func(v int) reg.VecVirtual { return loaded[v] }
}

// nextTileScales goes on to the int4 scales of the next tile's panels.
func (k *kernel) nextTileScales() {
	if k.rowScales || k.panels == 1 {
		return
	}
	step := shifted(k.groups, panelRows*2)
	IMUL3Q(I32(k.panels-1), step, step)
	ADDQ(step, k.state.groupScales)
}
