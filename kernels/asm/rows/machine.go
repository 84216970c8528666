package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blockLanes is the number of float32 that the kernels take at once, and over which sums run.
const blockLanes = 16

// machine is what the kernels are generated for: a width of registers and the instructions in which
// the two instruction sets differ. Operands are in the order of Go's assembler: the destination last.
type machine struct {
	*build.Context
	name string // suffix of the functions' names
	wide bool   // 64-byte registers and masks
	// registerBytes is the width of a vector register.
	registerBytes int

	normRows   int // that layer norm takes at once, at most
	scoreTiles []scoreTile
	valueTiles []valueTile

	labels int // of the current function
}

func machines(c *build.Context) []*machine {
	return []*machine{
		{Context: c, name: "AVX512", wide: true, registerBytes: 64,
			normRows:   4,
			scoreTiles: []scoreTile{{1, 16}, {2, 8}, {3, 4}, {4, 4}},
			valueTiles: []valueTile{{1, []int{4, 1}}, {2, []int{4, 1}}, {3, []int{4, 1}}, {4, []int{4, 1}}}},
		{Context: c, name: "AVX2", registerBytes: 32,
			normRows:   2,
			scoreTiles: []scoreTile{{1, 8}, {2, 4}},
			valueTiles: []valueTile{{1, []int{8, 2}}, {2, []int{4, 2}}, {4, []int{2}}}},
	}
}

// function begins a function. Its name gets the suffix of the machine.
func (m *machine) function(name, signature string) {
	m.Function(name + m.name)
	m.Attributes(attr.NOSPLIT)
	m.SignatureExpr(signature)
	m.Pragma("noescape")
	m.labels = 0
}

// end ends a function.
func (m *machine) end() {
	m.VZEROUPPER()
	m.RET()
}

// label returns a new label of the function. It stands where Label is called with it.
func (m *machine) label(name string) string {
	m.labels++
	return fmt.Sprintf("%s%d", name, m.labels)
}

// param returns the parameter of the given name in a register.
func (m *machine) param(name string) reg.GPVirtual {
	r := m.GP64()
	m.Load(m.Param(name), r)
	return r
}

// copy returns a copy of a register.
func (m *machine) copy(r reg.Register) reg.GPVirtual {
	c := m.GP64()
	m.MOVQ(r, c)
	return c
}

func (m *machine) vector() reg.VecVirtual {
	if m.wide {
		return m.ZMM()
	}
	return m.YMM()
}

// lanes is the number of float32 in a register.
func (m *machine) lanes() int { return m.registerBytes / 4 }

// block is 16 float32 or int32 in one or two registers.
type block []reg.VecVirtual

func (m *machine) block() block {
	b := make(block, 64/m.registerBytes)
	for i := range b {
		b[i] = m.vector()
	}
	return b
}

// part returns where register i of a block lies in memory.
func (m *machine) part(p operand.Mem, i int) operand.Mem { return p.Offset(i * m.registerBytes) }

// zero clears vector registers.
func (m *machine) zero(registers ...reg.VecVirtual) {
	for _, r := range registers {
		m.VXORPS(r, r, r)
	}
}

// round rounds to the nearest integer, ties to even.
func (m *machine) round(x, dst reg.Register) {
	if m.wide {
		m.VRNDSCALEPS(operand.Imm(0), x, dst)
	} else {
		m.VROUNDPS(operand.Imm(8), x, dst)
	}
}

// Predicates of comparisons, none of which signals.
const (
	equal       = operand.U8(0x00)
	less        = operand.U8(0x11)
	notLess     = operand.U8(0x15) // true for NaN
	unordered   = operand.U8(0x03)
	greaterThan = operand.U8(0x1e)
	notAbove    = operand.U8(0x12) // false for NaN
)

// condition is a truth value for each lane of a register: in an opmask register with AVX-512, else
// all ones or zeros.
type condition struct {
	k     reg.OpmaskVirtual
	lanes reg.VecVirtual
}

// compare returns x predicate y.
func (m *machine) compare(predicate operand.U8, x reg.Register, y operand.Op) condition {
	if m.wide {
		k := m.K()
		m.VCMPPS(predicate, y, x, k)
		return condition{k: k}
	}
	lanes := m.vector()
	m.VCMPPS(predicate, y, x, lanes)
	return condition{lanes: lanes}
}

// bits returns the truth values of a block as the lowest 16 bits of a register.
func (m *machine) bits(conditions []condition) reg.GPVirtual {
	bits := m.GP32()
	if m.wide {
		m.KMOVW(conditions[0].k, bits)
		return bits
	}
	high := m.GP32()
	m.VMOVMSKPS(conditions[0].lanes, bits)
	m.VMOVMSKPS(conditions[1].lanes, high)
	m.SHLL(operand.Imm(8), high)
	m.ORL(high, bits)
	return bits
}

// compareBlock compares the elements of two blocks.
func (m *machine) compareBlock(predicate operand.U8, x, y block) []condition {
	conditions := make([]condition, len(x))
	for i := range x {
		conditions[i] = m.compare(predicate, x[i], y[i])
	}
	return conditions
}

// keep clears the lanes of x for which c is false.
func (m *machine) keep(c condition, x reg.VecVirtual) {
	if m.wide {
		m.VMOVAPS_Z(x, c.k, x)
	} else {
		m.VANDPS(c.lanes, x, x)
	}
}

// replace sets the lanes of x for which c is true to those of y.
func (m *machine) replace(c condition, y operand.Op, x reg.VecVirtual) {
	if m.wide {
		m.VMOVAPS(y, c.k, x)
	} else {
		m.VBLENDVPS(c.lanes, y, x, x)
	}
}

// mask says which lanes of the last block of a row exist. A nil mask is that of a whole block.
type mask []condition

// load reads a block, zeros where the mask is false: nothing is read there.
func (m *machine) load(k mask, p operand.Mem) block {
	b := m.block()
	for i, r := range b {
		switch {
		case k == nil:
			m.VMOVUPS(m.part(p, i), r)
		case m.wide:
			m.VMOVUPS_Z(p, k[i].k, r)
		default:
			m.VMASKMOVPS(m.part(p, i), k[i].lanes, r)
		}
	}
	return b
}

// store writes the lanes of a block for which the mask is true.
func (m *machine) store(k mask, b block, p operand.Mem) {
	for i, r := range b {
		switch {
		case k == nil:
			m.VMOVUPS(r, m.part(p, i))
		case m.wide:
			m.VMOVUPS(r, k[i].k, p)
		default:
			m.VMASKMOVPS(r, k[i].lanes, m.part(p, i))
		}
	}
}

// keepBlock clears the lanes of a block for which the mask is false.
func (m *machine) keepBlock(k mask, b block) {
	for i := range k {
		m.keep(k[i], b[i])
	}
}

// fill sets the lanes of a block for which the mask is false to those of a register.
func (m *machine) fill(k mask, value reg.VecVirtual, b block) {
	for i := range k {
		if m.wide {
			rest := m.K()
			m.KNOTW(k[i].k, rest)
			m.VMOVAPS(value, rest, b[i])
		} else {
			m.VBLENDVPS(k[i].lanes, b[i], value, b[i])
		}
	}
}

// eachBlock runs body for every block of a row of n elements, in ascending order; body gets the
// offset of the block in bytes and the mask of its elements.
func (m *machine) eachBlock(n reg.Register, body func(offset reg.Register, k mask)) {
	loop, rest, done := m.label("block"), m.label("rest"), m.label("done")
	offset, end := m.GP64(), m.copy(n)
	m.XORQ(offset, offset)
	m.SHLQ(operand.Imm(2), end)
	m.ANDQ(operand.I8(-64), end)
	m.Label(loop)
	m.CMPQ(offset, end)
	m.JGE(operand.LabelRef(rest))
	body(offset, nil)
	m.ADDQ(operand.Imm(64), offset)
	m.JMP(operand.LabelRef(loop))
	m.Label(rest)
	left := m.copy(n)
	m.ANDQ(operand.Imm(blockLanes-1), left)
	m.JZ(operand.LabelRef(done))
	body(offset, m.firstLanes(left))
	m.Label(done)
}

// repeat generates a loop that runs body n times, which may be 0. It uses up n.
func (m *machine) repeat(n reg.GPVirtual, body func()) {
	loop, done := m.label("loop"), m.label("done")
	m.TESTQ(n, n)
	m.JZ(operand.LabelRef(done))
	m.Label(loop)
	body()
	m.DECQ(n)
	m.JNZ(operand.LabelRef(loop))
	m.Label(done)
}

// firstLanes returns the mask of the first n lanes. It uses up n.
func (m *machine) firstLanes(n reg.GPVirtual) mask {
	m.NEGQ(n)
	table := m.GP64()
	m.LEAQ(m.maskTable(), table)
	at := operand.Mem{Base: table, Disp: 4 * blockLanes, Index: n, Scale: 4}
	k := make(mask, 64/m.registerBytes)
	for i := range k {
		lanes := m.vector()
		m.VMOVUPS(m.part(at, i), lanes)
		k[i].lanes = lanes
		if m.wide {
			k[i].k = m.K()
			m.VPTESTMD(lanes, lanes, k[i].k)
		}
	}
	return k
}

// maskTable returns 16 words of ones followed by 16 words of zeros.
func (m *machine) maskTable() operand.Mem {
	return m.table("masks", 2*blockLanes, func(i int) uint32 {
		if i < blockLanes {
			return 0xffffffff
		}
		return 0
	})
}

// table returns a read-only table of words, made when it is first asked for.
func (m *machine) table(name string, words int, word func(i int) uint32) operand.Mem {
	if t, ok := tables[name]; ok {
		return t
	}
	t := m.StaticGlobal(name)
	m.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range words {
		m.AddDatum(4*i, operand.U32(word(i)))
	}
	tables[name] = t
	return t
}

var tables = map[string]operand.Mem{}

// word returns eight copies of a word in memory: an operand of AVX2, and what constants loads.
func (m *machine) word(bits uint32) operand.Mem {
	return m.table(fmt.Sprintf("word_%08x", bits), 8, func(int) uint32 { return bits })
}

// constants are values held in all lanes. With AVX-512 they are in registers, with AVX2, which has
// few, in memory.
type constants map[uint32]operand.Op

// constants prepares values, before the loop that uses them.
func (m *machine) constants(values ...float32) constants {
	c := constants{}
	for _, v := range values {
		bits := math.Float32bits(v)
		if _, ok := c[bits]; ok {
			continue
		}
		c[bits] = m.word(bits)
		if m.wide {
			r := m.ZMM()
			m.VBROADCASTSS(m.word(bits), r)
			c[bits] = r
		}
	}
	return c
}

func (c constants) of(v float32) operand.Op {
	op, ok := c[math.Float32bits(v)]
	if !ok {
		panic(fmt.Sprintf("constant %v has not been prepared", v))
	}
	return op
}

// broadcast returns a register with a value in every lane.
func (m *machine) broadcast(value operand.Op) reg.VecVirtual {
	r := m.vector()
	m.VBROADCASTSS(value, r)
	return r
}

// broadcastBlock returns a block with a value in every lane.
func (m *machine) broadcastBlock(value operand.Op) block {
	b := m.block()
	for _, r := range b {
		m.VBROADCASTSS(value, r)
	}
	return b
}

// reduce combines the 16 lanes of a block in the fixed order of sum16: halves, quarters, pairs. The
// result is the lowest lane of the register it returns; the block is used up.
func (m *machine) reduce(b block, combine func(operands ...operand.Op)) reg.Register {
	x, shuffled := m.reduceToFour(b, combine), m.XMM()
	m.VMOVHLPS(x, x, shuffled)
	combine(shuffled, x, x)
	m.VMOVSHDUP(x, shuffled)
	combine(shuffled, x, x)
	return x
}

// reduceToFour combines the 16 lanes of a block to four.
func (m *machine) reduceToFour(b block, combine func(operands ...operand.Op)) reg.Register {
	low, x, high, quarter := b[0].AsY(), b[0].AsX(), m.YMM(), m.XMM()
	if m.wide {
		m.VEXTRACTF64X4(operand.Imm(1), b[0], high)
	} else {
		m.VMOVUPS(b[1], high)
	}
	combine(high, low, low)
	m.VEXTRACTF128(operand.Imm(1), low, quarter)
	combine(quarter, x, x)
	return x
}
