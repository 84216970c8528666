package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// signature is common to all kernels, so that a table can hold them. multiplyKernel in
// matmul_amd64.go describes the arguments.
const signature = "func(codes, scales, x *byte, xScales *float32, xSums *int32, bias, out *float32, outStride, groups, tiles, follow uintptr)"

// prefetchBytes is how far ahead of its use each panel is fetched into the second-level cache:
// measured, anything from 1 to 16 KB is as good.
const prefetchBytes = 4096

// maxUnrolled bounds the multiplications in the body of the innermost loop. More gains nothing.
const maxUnrolled = 48

// A kernel is one generated function: it multiplies consecutive tiles of some panels with a tile of
// some tokens.
type kernel struct {
	*machine
	*encoding
	panels, tokens int
	prefetching

	groups  reg.GPVirtual      // of 64 columns
	weights strided            // by panel, moves along the columns
	ahead   strided            // the same, what to prefetch
	x       strided            // by token, moves along the columns
	sums    [][]reg.VecVirtual // [token][register of rows]
	mask    reg.VecVirtual     // a constant of the encoding
	ones    reg.VecVirtual     // 16-bit ones, where the encoding needs them
	state   integerState
}

func (k *kernel) name() string {
	return fmt.Sprintf("%s%sx%dx%d", k.encoding.name, k.machine.name, k.panels, k.tokens)
}

// vectors returns the number of registers that one number for each row of all panels fills.
func (k *kernel) vectors() int { return k.panels * k.perPanel }

// groupBytes returns how much of a panel one group of columns is.
func (k *kernel) groupBytes() int { return groupColumns / k.columns * lineBytes }

// A prefetching says which lines of weights a kernel fetches ahead of their use.
type prefetching int

const (
	everyLine prefetching = iota
	everyOther
	noLine
)

// fetches says whether a line of one of the panels is fetched ahead. Neighbouring panels take turns.
func (f prefetching) fetches(panel, line int) bool {
	return f == everyLine || f == everyOther && (panel+line)%2 == 0
}

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
	k.weights = newStrided(Load(Param("codes"), GP64()).(reg.GPVirtual), multiple(k.groups, k.groupBytes()), k.panels)
	k.x = newStrided(GP64(), multiple(k.groups, groupColumns*k.xBytes), k.tokens)
	k.ahead = k.weights.with(GP64())
	if k.constants != nil {
		k.constants(k)
	}
	if k.integer != nil {
		k.allocateScratch()
	}
	offset := k.counter()    // of the tile in a row of outputs, in bytes
	remaining := k.counter() // groups
	MOVQ(I32(0), offset)

	Label("tile")
	Load(Param("x"), k.x.base)
	MOVQ(k.groups, remaining)
	k.allocateSums()
	if k.integer != nil {
		k.startTile()
	} else {
		k.clear()
	}

	Label("group")
	if k.prefetching != noLine {
		k.lookAhead(remaining)
	}
	if k.integer != nil {
		k.integer(k)
	} else {
		k.lines("line", groupColumns/k.columns)
	}
	DECQ(remaining)
	JNZ(LabelRef("group"))

	k.finish(offset)

	LEAQ(k.weights.row(k.panels-1), k.weights.base) // the groups have moved it by one panel
	if k.state.groupScales != nil {
		k.nextTileScales()
	}
	ADDQ(I32(k.panels*panelRows*4), offset)
	DECQ(argument("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// argument returns the address of an argument of the function.
func argument(name string) Op {
	a, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return a.Addr
}

// multiple returns a times a power of two.
func multiple(a reg.GPVirtual, factor int) reg.GPVirtual {
	product := GP64()
	MOVQ(a, product)
	SHLQ(Imm(uint64(bits.TrailingZeros(uint(factor)))), product)
	return product
}

// counter returns a place for a number that changes once per group or tile. The integer kernels
// need their registers for other things.
func (k *kernel) counter() Op {
	if k.integer != nil {
		return AllocLocal(8)
	}
	return GP64()
}

func (k *kernel) allocateSums() {
	k.sums = make([][]reg.VecVirtual, k.tokens)
	for t := range k.sums {
		k.sums[t] = make([]reg.VecVirtual, k.vectors())
		for v := range k.sums[t] {
			k.sums[t][v] = k.vector()
		}
	}
}

func (k *kernel) clear() {
	for _, sums := range k.sums {
		for _, sum := range sums {
			k.zero(sum)
		}
	}
}

// lookAhead sets the address to prefetch from. Towards the end of a tile that is the next tile, if
// there is one.
func (k *kernel) lookAhead(remaining Op) {
	groups := max(1, prefetchBytes/k.groupBytes())
	LEAQ(k.weights.row(0).Offset(groups*k.groupBytes()), k.ahead.base)
	if k.panels == 1 {
		return // the next panel follows in memory
	}
	CMPQ(remaining, I32(groups))
	JGT(LabelRef("this_tile"))
	CMPQ(argument("tiles"), I32(1))
	JGT(LabelRef("next_tile"))
	CMPQ(argument("follow"), I32(0))
	JEQ(LabelRef("this_tile"))
	Label("next_tile")
	LEAQ(k.ahead.row(k.panels-1), k.ahead.base)
	Label("this_tile")
}

// lines multiplies count lines of every panel, in a loop if they are many.
func (k *kernel) lines(label string, count int) {
	unrolled := count
	for unrolled > 1 && unrolled*k.passes*k.vectors()*k.tokens > maxUnrolled {
		unrolled /= 2
	}
	var counter reg.GPVirtual
	if unrolled < count {
		counter = GP64()
		MOVQ(I32(count/unrolled), counter)
		Label(label)
	}
	for line := range unrolled {
		for p := range k.panels {
			if k.fetches(p, line) {
				PREFETCHT1(k.ahead.row(p).Offset(line * lineBytes))
			}
		}
		for pass := range k.passes {
			k.pass(line, pass)
		}
	}
	ADDQ(I32(unrolled*lineBytes), k.weights.base)
	ADDQ(I32(unrolled*k.columns*k.xBytes), k.x.base)
	if k.prefetching != noLine {
		ADDQ(I32(unrolled*lineBytes), k.ahead.base)
	}
	if unrolled < count {
		DECQ(counter)
		JNZ(LabelRef(label))
	}
}

// pass multiplies what one pass takes out of a line.
func (k *kernel) pass(line, pass int) {
	weight := func(v int) reg.VecVirtual {
		panel := k.weights.row(v / k.perPanel).Offset(line * lineBytes)
		return k.weight(k, panel, v%k.perPanel, pass)
	}
	token := func(t int) reg.VecVirtual {
		return k.token(k, k.x.row(t).Offset(line*k.columns*k.xBytes), pass)
	}
	k.products(weight, token, func(t, v int, w, x reg.VecVirtual) { k.multiply(k, x, w, k.sums[t][v]) })
}

// products calls each for all pairs of a register of rows and a token. It holds whichever are fewer
// in registers and loads the others one by one, both in ascending order.
func (k *kernel) products(weight, token func(i int) reg.VecVirtual, each func(t, v int, w, x reg.VecVirtual)) {
	load := func(count int, value func(i int) reg.VecVirtual) []reg.VecVirtual {
		values := make([]reg.VecVirtual, count)
		for i := range values {
			values[i] = value(i)
		}
		return values
	}
	if k.tokens <= k.vectors() {
		x := load(k.tokens, token)
		for v := range k.vectors() {
			w := weight(v)
			for t := range x {
				each(t, v, w, x[t])
			}
		}
		return
	}
	w := load(k.vectors(), weight)
	for t := range k.tokens {
		x := token(t)
		for v := range w {
			each(t, v, w[v], x)
		}
	}
}

// finish writes the outputs of a tile.
func (k *kernel) finish(offset Op) {
	rowArgument := func(name string) reg.GPVirtual {
		address := Load(Param(name), GP64()).(reg.GPVirtual)
		ADDQ(offset, address)
		return address
	}
	out, bias := rowArgument("out"), rowArgument("bias")
	var scales reg.GPVirtual
	if k.rowScales {
		scales = rowArgument("scales")
	}
	for t, sums := range k.sums {
		if t > 0 {
			ADDQ(argument("outStride"), out)
		}
		for v, sum := range sums {
			if k.integer != nil {
				VMOVUPS(k.state.folded(k, t, v), sum)
			}
			if k.rowScales {
				VMULPS(Mem{Base: scales, Disp: v * k.bytes}, sum, sum)
			}
			VADDPS(Mem{Base: bias, Disp: v * k.bytes}, sum, sum)
			VMOVUPS(sum, Mem{Base: out, Disp: v * k.bytes})
		}
	}
}
