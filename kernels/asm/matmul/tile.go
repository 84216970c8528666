package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// signature is common to all kernels, so that a table can hold them.
const signature = "func(codes, scales, x *byte, xScales *float32, xSums *int32, bias, out *float32, outStride, groups, tiles uintptr)"

// A kernel is one generated function: it multiplies consecutive tiles of some panels with a tile of
// some tokens.
type kernel struct {
	*machine
	*encoding
	panels, tokens int

	groups  reg.GPVirtual // of 64 columns
	weights strided       // by panel, moves along the columns
	ahead   strided       // the same, what to prefetch
	x       strided       // by token, moves along the columns
	sums    [][]reg.VecVirtual
	state   integerState
	mask    reg.VecVirtual // constant of the encoding
	ones    reg.VecVirtual // 16-bit ones, where the encoding needs them
}

func (k *kernel) name() string {
	return fmt.Sprintf("%s%sx%dx%d", k.encoding.name, k.machine.name, k.panels, k.tokens)
}

// vectors returns the number of registers that one line of all panels fills.
func (k *kernel) vectors() int { return k.panels * k.perPanel }

// groupBytes returns how much of a panel one group of columns is.
func (k *kernel) groupBytes() int { return groupColumns / k.columns * lineBytes }

// generate emits the function:
//
//	for each tile of panels
//		sums = 0
//		for each group of 64 columns
//			sums += weights * activations, line by line
//			integer encodings: fold the group's sums into float32 ones
//		out = sums * scale + bias
func (k *kernel) generate() {
	TEXT(k.name(), 0, signature)
	Pragma("noescape")
	Doc(fmt.Sprintf("%s multiplies tiles of %d panels with %d tokens.", k.name(), k.panels, k.tokens))

	k.groups = Load(Param("groups"), GP64()).(reg.GPVirtual)
	distance := shifted(k.groups, k.groupBytes())
	k.weights = newStrided(Load(Param("codes"), GP64()).(reg.GPVirtual), distance, k.panels)
	k.x = newStrided(GP64(), shifted(k.groups, groupColumns*k.xBytes), k.tokens)
	k.ahead = k.weights.with(GP64())
	k.constants(k)
	if k.integer != nil {
		k.allocateScratch()
	}
	offset := k.counter()    // of the tile in a row of outputs, in bytes
	remaining := k.counter() // groups
	MOVQ(I32(0), offset)

	Label("tile")
	Load(Param("x"), k.x.base)
	MOVQ(k.groups, remaining)
	k.sums = make([][]reg.VecVirtual, k.tokens)
	for t := range k.sums {
		k.sums[t] = make([]reg.VecVirtual, k.vectors())
		for v := range k.sums[t] {
			k.sums[t][v] = k.vector()
		}
	}
	if k.integer != nil {
		k.startTile()
	} else {
		k.clear()
	}

	Label("group")
	if k.prefetches() {
		LEAQ(k.weights.row(0).Offset(prefetchGroups(k)*k.groupBytes()), k.ahead.base)
		if k.panels > 1 {
			CMPQ(remaining, I32(prefetchGroups(k)))
			JGT(LabelRef("same_tile"))
			ADDQ(k.weights.odd[k.panels-1], k.ahead.base)
			Label("same_tile")
		}
	}
	if k.integer != nil {
		k.integer.group(k)
	} else {
		k.lines("line", groupColumns/k.columns)
	}
	DECQ(remaining)
	JNZ(LabelRef("group"))

	k.finish(offset)

	if k.panels > 1 {
		ADDQ(k.weights.odd[k.panels-1], k.weights.base)
	}
	if k.integer != nil {
		k.nextTileScales()
	}
	ADDQ(I32(k.panels*panelRows*4), offset)
	tiles, err := Param("tiles").Resolve()
	if err != nil {
		panic(err)
	}
	DECQ(tiles.Addr)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// shifted returns a times a power of two.
func shifted(a reg.GPVirtual, factor int) reg.GPVirtual {
	product := GP64()
	MOVQ(a, product)
	SHLQ(Imm(uint64(bits.TrailingZeros(uint(factor)))), product)
	return product
}

// counter returns a place for a number that changes once per group or tile. The integer kernels need
// their registers for other things.
func (k *kernel) counter() Op {
	if k.integer != nil {
		return AllocLocal(8)
	}
	return GP64()
}

func (k *kernel) clear() {
	for t := range k.sums {
		for _, sum := range k.sums[t] {
			k.zero(sum)
		}
	}
}

// lines multiplies count lines of every panel, in a loop if they are many.
func (k *kernel) lines(label string, count int) {
	unroll := count
	for unroll > 1 && unroll*k.passes*k.vectors()*k.tokens > 96 {
		unroll /= 2
	}
	var counter reg.GPVirtual
	if unroll < count {
		counter = GP64()
		MOVQ(I32(count/unroll), counter)
		Label(label)
	}
	for line := range unroll {
		if k.prefetches() {
			for p := range k.panels {
				PREFETCHT0(k.ahead.row(p).Offset(line * lineBytes))
			}
		}
		for pass := range k.passes {
			k.pass(line, pass)
		}
	}
	ADDQ(I32(unroll*lineBytes), k.weights.base)
	ADDQ(I32(unroll*k.columns*k.xBytes), k.x.base)
	if k.prefetches() {
		ADDQ(I32(unroll*lineBytes), k.ahead.base)
	}
	if unroll < count {
		DECQ(counter)
		JNZ(LabelRef(label))
	}
}

// pass multiplies what one pass takes out of a line. Of weights and activations it holds in
// registers whichever are fewer.
func (k *kernel) pass(line, pass int) {
	weight := func(v int) reg.VecVirtual {
		panel, part := k.weights.row(v/k.perPanel).Offset(line*lineBytes), v%k.perPanel
		return k.weight(k, panel, part, pass)
	}
	token := func(t int) reg.VecVirtual {
		return k.token(k, k.x.row(t).Offset(line*k.columns*k.xBytes), pass)
	}
	if k.tokens <= k.vectors() {
		x := make([]reg.VecVirtual, k.tokens)
		for t := range x {
			x[t] = token(t)
		}
		for v := range k.vectors() {
			w := weight(v)
			for t := range x {
				k.multiply(k, x[t], w, k.sums[t][v])
			}
		}
		return
	}
	w := make([]reg.VecVirtual, k.vectors())
	for v := range w {
		w[v] = weight(v)
	}
	for t := range k.tokens {
		x := token(t)
		for v := range w {
			k.multiply(k, x, w[v], k.sums[t][v])
		}
	}
}

// finish writes the outputs of a tile.
func (k *kernel) finish(offset Op) {
	out, stride, bias := GP64(), GP64(), GP64()
	Load(Param("out"), out)
	Load(Param("outStride"), stride)
	Load(Param("bias"), bias)
	ADDQ(offset, out)
	ADDQ(offset, bias)
	var scales reg.GPVirtual
	if k.rowScales {
		scales = Load(Param("scales"), GP64()).(reg.GPVirtual)
		ADDQ(offset, scales)
	}
	for t := range k.tokens {
		for v := range k.vectors() {
			sum := k.sums[t][v]
			if k.integer != nil {
				VMOVUPS(k.state.folded(k, t, v), sum)
			}
			if k.rowScales {
				VMULPS(Mem{Base: scales, Disp: v * k.bytes}, sum, sum)
			}
			VADDPS(Mem{Base: bias, Disp: v * k.bytes}, sum, sum)
			VMOVUPS(sum, Mem{Base: out, Disp: v * k.bytes})
		}
		if t < k.tokens-1 {
			ADDQ(stride, out)
		}
	}
}

// prefetches says whether the kernel fetches weights ahead of their use: with few tokens it waits
// for nothing but memory.
func (k *kernel) prefetches() bool { return k.tokens <= 4 }

// prefetchGroups returns how many groups ahead.
func prefetchGroups(k *kernel) int { return max(1, 2048/k.groupBytes()) }
