package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels of the integer encodings keep exact int32 sums of one group of 64 columns in registers. At the end of a group
// these are folded into float32 sums: multiplied by their scales and added. The float32 sums lie on the stack, and so in
// the first-level cache.

// integerState holds the addresses that only the integer kernels need.
type integerState struct {
	scratch     reg.GPVirtual // float32 sums [tokens, vectors]; behind them, if needed, int32 sums of the same shape
	scales      reg.GPVirtual // the first token's scale of this group
	codeSums    reg.GPVirtual // sum of the first token's codes in this group
	groupScales reg.GPVirtual // int4: the first panel's scales of this group
}

// folded returns the place of a float32 sum.
func (s *integerState) folded(k *kernel, t, v int) operand.Mem {
	return operand.Mem{Base: s.scratch, Disp: (t*k.vectors() + v) * k.RegisterBytes}
}

// half returns the place of an int32 sum of the first half of a group.
func (s *integerState) half(k *kernel, t, v int) operand.Mem { return s.folded(k, t+k.tokens, v) }

// allocateScratch reserves room for the sums on the stack, aligned to cache lines.
func (k *kernel) allocateScratch() {
	size := k.tokens * k.vectors() * k.RegisterBytes
	if k.halves {
		size *= 2
	}
	k.state.scratch, k.state.scales, k.state.codeSums = k.GP64(), k.GP64(), k.GP64()
	k.LEAQ(k.AllocLocal(size+lineBytes).Offset(lineBytes-1), k.state.scratch)
	k.ANDQ(operand.I32(-lineBytes), k.state.scratch)
	if !k.rowScales {
		k.state.groupScales = k.Parameter("scales")
	}
}

// startTile clears the float32 sums and goes back to the first group.
func (k *kernel) startTile() {
	zero := k.Vector()
	k.Zero(zero)
	for t, sums := range k.sums {
		for v := range sums {
			k.VMOVUPS(zero, k.state.folded(k, t, v))
		}
	}
	k.Load(k.Param("xScales"), k.state.scales)
	k.Load(k.Param("xSums"), k.state.codeSums)
}

// int32Dots returns how a group is multiplied with sums of int32.
//
// The stored codes are 1<<offset larger than what they stand for, which adds that many times the sum of the activations'
// codes. The sums start below zero by as much. The encoding makes the sums 1<<excess times too large; the end of the group
// divides them.
func int32Dots(offset, excess uint64) func(k *kernel) {
	return func(k *kernel) {
		if k.constants != nil { // anew for each group, so that their registers are free while the sums of one are folded
			k.constants(k)
		}
		zero := k.Vector()
		k.Zero(zero)
		codeSum := k.tokenValues(k.state.codeSums)
		for t, sums := range k.sums {
			k.VPBROADCASTD(codeSum(t), sums[0])
			k.VPSLLD(operand.Imm(offset+excess), sums[0], sums[0])
			k.VPSUBD(sums[0], zero, sums[0])
			for _, sum := range sums[1:] {
				k.Move(sums[0], sum)
			}
		}
		k.partial = nil
		for range k.chains() - 1 {
			partial := k.newSums()
			k.clear(partial)
			k.partial = append(k.partial, partial)
		}
		k.lines("line", groupColumns/k.columns)
		k.addPartial()
		if excess > 0 {
			for _, sums := range k.sums {
				for _, sum := range sums {
					k.VPSRAD(operand.Imm(excess), sum, sum)
				}
			}
		}
		k.fold()
	}
}

// chains returns in how many parts each sum of a group is computed. The dot product of bytes waits for the one before it in
// the same sum; with fewer sums than are under way at a time, four cycles long and two per cycle, the CPU would be idle.
func (k *kernel) chains() int {
	const underWay, most = 8, 4
	chains := 1
	for k.HasDotBytes() && chains < most && chains*k.tokens*k.vectors() < underWay {
		chains *= 2
	}
	return chains
}

// addPartial adds the parts of each sum.
func (k *kernel) addPartial() {
	for _, partial := range k.partial {
		for t, sums := range k.sums {
			for v, sum := range sums {
				k.VPADDD(partial[t][v], sum, sum)
			}
		}
	}
}

// int16Dots returns how a group is multiplied in two halves with sums of int16: more would not fit. The first half's sums
// wait in memory as int32 for those of the second. offset is that of int32Dots.
func int16Dots(offset uint64) func(k *kernel) {
	return func(k *kernel) {
		k.clear(k.sums)
		k.lines("first_half", groupColumns/k.columns/2)
		codeSum := k.tokenValues(k.state.codeSums)
		for t, sums := range k.sums {
			excess := k.Vector()
			k.VPBROADCASTD(codeSum(t), excess)
			k.VPSLLD(operand.Imm(offset), excess, excess)
			for v, sum := range sums {
				k.VPMADDWD(k.ones, sum, sum)
				k.VPSUBD(excess, sum, sum)
				k.Move(sum, k.state.half(k, t, v))
			}
		}
		k.clear(k.sums)
		k.lines("second_half", groupColumns/k.columns/2)
		for t, sums := range k.sums {
			for v, sum := range sums {
				k.VPMADDWD(k.ones, sum, sum)
				k.VPADDD(k.state.half(k, t, v), sum, sum)
			}
		}
		k.fold()
	}
}

// fold adds scale*dot to the float32 sums and goes on to the next group.
func (k *kernel) fold() {
	scale := k.tokenValues(k.state.scales)
	token := func(t int) reg.VecVirtual {
		x := k.Vector()
		k.VBROADCASTSS(scale(t), x)
		return x
	}
	weight := func(int) reg.VecVirtual { return nil } // int8: row scales follow at the end
	if !k.rowScales {
		weight = k.loadGroupScales()
	}
	k.products(weight, token, func(t, v int, w, x reg.VecVirtual) {
		if w != nil {
			product := k.Vector()
			k.VMULPS(w, x, product)
			x = product
		}
		sum, place := k.sums[t][v], k.state.folded(k, t, v)
		k.VCVTDQ2PS(sum, sum)
		k.VFMADD213PS(place, x, sum)
		k.VMOVUPS(sum, place)
	})
	k.ADDQ(operand.I32(4), k.state.scales)
	k.ADDQ(operand.I32(4), k.state.codeSums)
	if !k.rowScales {
		k.ADDQ(operand.I32(panelRows*2), k.state.groupScales)
	}
}

// tokenValues returns a function that gives the address of each token's value of the current group, given the first
// one's. It must be called for all tokens in ascending order.
func (k *kernel) tokenValues(first reg.GPVirtual) func(t int) operand.Mem {
	address := first
	return func(t int) operand.Mem {
		if t > 0 {
			next := k.GP64()
			k.LEAQ(operand.Mem{Base: address, Index: k.groups, Scale: 4}, next)
			address = next
		}
		return operand.Mem{Base: address}
	}
}

// loadGroupScales returns a function that loads the int4 scales of the current group for a register of rows. It must be
// called for all of them in ascending order; behind the last it prefetches the same group's scales of the next tile.
func (k *kernel) loadGroupScales() func(v int) reg.VecVirtual {
	distance, address := k.multiple(k.groups, panelRows*2), k.GP64()
	k.MOVQ(k.state.groupScales, address)
	return func(v int) reg.VecVirtual {
		part := v % k.perPanel()
		if v > 0 && part == 0 {
			k.ADDQ(distance, address)
		}
		w := k.Vector()
		k.VCVTPH2PS(operand.Mem{Base: address, Disp: part * k.RegisterBytes / 2}, w)
		if v == k.vectors()-1 {
			for range k.panels {
				k.ADDQ(distance, address)
				k.PREFETCHT1(operand.Mem{Base: address})
			}
		}
		return w
	}
}

// nextTileScales goes on to the int4 scales of the next tile. The address has passed one panel already, group by group.
func (k *kernel) nextTileScales() {
	step := k.multiple(k.groups, panelRows*2)
	k.IMUL3Q(operand.I32(k.panels-1), step, step)
	k.ADDQ(step, k.state.groupScales)
}
