package main

import (
	"fmt"
	"math/bits"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

const (
	lineBytes    = 64 // of a panel: some columns of all its rows
	panelRows    = 16
	groupColumns = 64
)

// signature is common to all kernels, so that a table can hold them. multiplyKernel in
// matmul_assembly.go describes the arguments.
const signature = "func(codes, scales, x *byte, xScales *float32, xSums *int32, bias, out *float32, outStride, groups, tiles, follow uintptr)"

// How far ahead of its use each panel of several is fetched: measured, anything from 1 to 16 KB is as good. Kernels that read
// one stream look further.
const (
	prefetchBytes       = 4096
	streamPrefetchBytes = 8192
)

// maxUnrolled bounds the multiplications in the body of the innermost loop. More gains nothing.
const maxUnrolled = 48

// A kernel is one generated function: it multiplies consecutive tiles of some panels with a tile of
// some tokens.
type kernel struct {
	*amd64.Assembler
	*encoding
	panels, tokens int
	prefetching

	groups  reg.GPVirtual        // of 64 columns
	weights strided              // by panel, moves along the columns
	ahead   strided              // by panel, what to prefetch
	x       strided              // by token, moves along the columns
	sums    [][]reg.VecVirtual   // [token][register of the rows of all panels]
	partial [][][]reg.VecVirtual // more of the same shape, see chains
	mask    reg.VecVirtual       // a constant of the encoding
	matrix  reg.VecVirtual       // another: a matrix of bits that shifts high nibbles down
	ones    reg.VecVirtual       // 16-bit ones, where the encoding needs them
	state   integerState
}

func (k *kernel) name() string {
	return fmt.Sprintf("%s%sx%dx%d", k.encoding.name, k.Name, k.panels, k.tokens)
}

// perPanel returns the number of registers that one number for each row of a panel fills.
func (k *kernel) perPanel() int { return panelRows * 4 / k.RegisterBytes }

// vectors returns the number of registers that one number for each row of all panels fills.
func (k *kernel) vectors() int { return k.panels * k.perPanel() }

// groupBytes returns the size of one group of columns in a panel.
func (k *kernel) groupBytes() int { return groupColumns / k.columns * lineBytes }

// A prefetching says which lines of weights a kernel fetches ahead of their use. What pays was measured, see
// kernels/README.md.
type prefetching int

const (
	everyLine prefetching = iota
	everyOther
	noLine
)

// fetches says whether a line of a panel is fetched ahead. Where every other line is, neighbouring panels take turns.
func (f prefetching) fetches(panel, line int) bool {
	return f == everyLine || f == everyOther && (panel+line)%2 == 0
}

// streams says whether the kernel reads its weights in the order of memory: one panel of integers at a time. Such kernels are
// for weights from memory, which are used once: they fetch every line, past the second-level cache.
func (k *kernel) streams() bool { return k.panels == 1 && k.integer != nil }

// fetchAhead fetches a line of a panel from where lookAhead has set the address to.
func (k *kernel) fetchAhead(panel, line int) {
	address := k.ahead.row(panel).Offset(line * lineBytes)
	switch {
	case k.streams():
		k.PREFETCHNTA(address)
	case k.fetches(panel, line):
		k.PREFETCHT1(address)
	}
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
	if k.tiled != nil {
		k.generateTiles()
		return
	}
	k.Begin(k.name(), signature)
	k.Doc(fmt.Sprintf("%s multiplies tiles of %d panels with %d tokens.", k.name(), k.panels, k.tokens))

	k.groups = k.Parameter("groups")
	k.weights = newStrided(k.Assembler, k.Parameter("codes"), k.multiple(k.groups, k.groupBytes()), k.panels)
	k.x = newStrided(k.Assembler, k.GP64(), k.multiple(k.groups, groupColumns*k.xBytes), k.tokens)
	k.ahead = k.weights.with(k.GP64())
	if k.integer != nil {
		k.allocateScratch()
	}
	if k.halves {
		k.constants(k)
	}
	offset := k.counter()    // of the tile in a row of outputs, in bytes
	remaining := k.counter() // groups
	k.MOVQ(operand.I32(0), offset)

	k.Label("tile")
	k.Load(k.Param("x"), k.x.base)
	k.MOVQ(k.groups, remaining)
	k.allocateSums()
	if k.integer != nil {
		k.startTile()
	} else {
		k.clear(k.sums)
	}

	k.Label("group")
	if k.prefetching != noLine {
		k.lookAhead(remaining)
	}
	if k.integer != nil {
		k.integer(k)
	} else {
		k.lines("line", groupColumns/k.columns)
	}
	k.DECQ(remaining)
	k.JNZ(operand.LabelRef("group"))

	k.finish(offset)

	k.LEAQ(k.weights.row(k.panels-1), k.weights.base) // it has passed one panel already, group by group
	if k.state.groupScales != nil {
		k.nextTileScales()
	}
	k.ADDQ(operand.I32(k.panels*panelRows*4), offset)
	k.DECQ(k.argument("tiles"))
	k.JNZ(operand.LabelRef("tile"))
	k.End()
}

// argument returns the address of an argument of the function.
func (k *kernel) argument(name string) operand.Op {
	a, err := k.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return a.Addr
}

// multiple returns a times factor, a power of two.
func (k *kernel) multiple(a reg.GPVirtual, factor int) reg.GPVirtual {
	product := k.GP64()
	k.MOVQ(a, product)
	k.SHLQ(operand.Imm(uint64(bits.TrailingZeros(uint(factor)))), product)
	return product
}

// counter returns a place for a number that is changed once per group or tile: in memory for the integer kernels, which
// need all their registers.
func (k *kernel) counter() operand.Op {
	if k.integer != nil {
		return k.AllocLocal(8)
	}
	return k.GP64()
}

func (k *kernel) allocateSums() { k.sums = k.newSums() }

// newSums returns registers for [token][register of the rows of all panels].
func (k *kernel) newSums() [][]reg.VecVirtual {
	sums := make([][]reg.VecVirtual, k.tokens)
	for t := range sums {
		sums[t] = make([]reg.VecVirtual, k.vectors())
		for v := range sums[t] {
			sums[t][v] = k.Vector()
		}
	}
	return sums
}

func (k *kernel) clear(all [][]reg.VecVirtual) {
	for _, sums := range all {
		for _, sum := range sums {
			k.Zero(sum)
		}
	}
}

// prefetchDistance returns how far ahead the kernel fetches.
func (k *kernel) prefetchDistance() int {
	if k.streams() {
		return streamPrefetchBytes
	}
	return prefetchBytes
}

// lookAhead sets the address to prefetch from, that far ahead in the same panel. Towards the end of a tile that lies
// in the next one, if there is one. remaining is the number of groups that are left in this tile.
func (k *kernel) lookAhead(remaining operand.Op) {
	groups := max(1, k.prefetchDistance()/k.groupBytes())
	k.LEAQ(k.weights.row(0).Offset(groups*k.groupBytes()), k.ahead.base)
	if k.panels == 1 {
		return // what lies behind this panel is the next tile
	}
	k.CMPQ(remaining, operand.I32(groups))
	k.JGT(operand.LabelRef("this_tile"))
	k.CMPQ(k.argument("tiles"), operand.I32(1))
	k.JGT(operand.LabelRef("next_tile"))
	k.CMPQ(k.argument("follow"), operand.I32(0))
	k.JEQ(operand.LabelRef("this_tile"))
	k.Label("next_tile")
	k.LEAQ(k.ahead.row(k.panels-1), k.ahead.base)
	k.Label("this_tile")
}

// lines multiplies the next count lines of every panel, in a loop if they are many.
func (k *kernel) lines(label string, count int) {
	unrolled := count
	for unrolled > 1 && unrolled*k.passes*k.vectors()*k.tokens > maxUnrolled {
		unrolled /= 2
	}
	var counter reg.GPVirtual
	if unrolled < count {
		counter = k.GP64()
		k.MOVQ(operand.I32(count/unrolled), counter)
		k.LoopLabel(label)
	}
	for line := range unrolled {
		for p := range k.panels {
			k.fetchAhead(p, line)
		}
		for pass := range k.passes {
			k.pass(line, pass)
		}
	}
	k.ADDQ(operand.I32(unrolled*lineBytes), k.weights.base)
	k.ADDQ(operand.I32(unrolled*k.columns*k.xBytes), k.x.base)
	if k.prefetching != noLine {
		k.ADDQ(operand.I32(unrolled*lineBytes), k.ahead.base)
	}
	if unrolled < count {
		k.DECQ(counter)
		k.JNZ(operand.LabelRef(label))
	}
}

// pass multiplies the columns of a line that one pass takes.
func (k *kernel) pass(line, pass int) {
	weight := func(v int) reg.VecVirtual {
		panel := k.weights.row(v / k.perPanel()).Offset(line * lineBytes)
		return k.weight(k, panel, v%k.perPanel(), pass)
	}
	token := func(t int) reg.VecVirtual {
		return k.token(k, k.x.row(t).Offset(line*k.columns*k.xBytes), pass)
	}
	sums := k.sums
	if turn := (line*k.passes + pass) % (len(k.partial) + 1); turn > 0 {
		sums = k.partial[turn-1]
	}
	k.products(weight, token, func(t, v int, w, x reg.VecVirtual) { k.multiply(k, x, w, sums[t][v]) })
}

// products calls each for all pairs of a token t and a register v of rows, with what token and weight return for them.
// It loads all of those first that are fewer, tokens or registers of rows, and keeps them while it loads the others one by
// one; both in ascending order.
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

// finish writes the outputs of a tile. offset is where its rows begin, in bytes.
func (k *kernel) finish(offset operand.Op) {
	rowArgument := func(name string) reg.GPVirtual {
		address := k.Parameter(name)
		k.ADDQ(offset, address)
		return address
	}
	out, bias := rowArgument("out"), rowArgument("bias")
	var scales reg.GPVirtual
	if k.rowScales {
		scales = rowArgument("scales")
	}
	for t, sums := range k.sums {
		if t > 0 {
			k.ADDQ(k.argument("outStride"), out)
		}
		for v, sum := range sums {
			if k.integer != nil {
				k.VMOVUPS(k.state.folded(k, t, v), sum)
			}
			if k.rowScales {
				k.VMULPS(operand.Mem{Base: scales, Disp: v * k.RegisterBytes}, sum, sum)
			}
			k.VADDPS(operand.Mem{Base: bias, Disp: v * k.RegisterBytes}, sum, sum)
			k.VMOVUPS(sum, operand.Mem{Base: out, Disp: v * k.RegisterBytes})
		}
	}
}
