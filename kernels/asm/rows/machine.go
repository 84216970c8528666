package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// blockLanes is the number of float32 that the kernels take at once, and over which sums run.
const blockLanes = 16

// A machine is what the kernels of one set are written for and with: instructions, and helpers made of them.
type machine struct {
	*amd64.Assembler
	masks
	kernels
	tables map[string]operand.Mem // of the whole file, by name
	labels int                    // in the function that is being written
}

// kernels says which kernels there are for a machine.
type kernels struct {
	machine    *amd64.Machine
	normRows   int                    // that layer norm takes at once, at most
	scoreTiles []scoreTile            // for every encoding of keys
	valueTiles map[string][]valueTile // by the encoding of values
	read       bool
}

var machines = []kernels{
	{
		machine:    amd64.AVX512,
		normRows:   4,
		scoreTiles: []scoreTile{{1, 16}, {2, 8}, {3, 4}, {4, 4}},
		valueTiles: map[string][]valueTile{
			"F32": wide,
			// For one query that of AVX2 is used: conversions to registers of 32 bytes are faster.
			"F16":  wide[1:],
			"Int8": wide,
		},
		read: false, // that of AVX2 is used: with registers of 64 bytes it is slower
	},
	{
		machine:    amd64.AVX2,
		normRows:   2,
		scoreTiles: []scoreTile{{1, 8}, {2, 4}},
		valueTiles: map[string][]valueTile{"F32": narrow, "F16": narrow, "Int8": narrow},
		read:       true,
	},
}

var (
	wide   = []valueTile{{1, []int{8, 4, 1}}, {2, []int{8, 4, 1}}, {3, []int{8, 4, 1}}, {4, []int{4, 1}}}
	narrow = []valueTile{{1, []int{8, 2}}, {2, []int{4, 2}}, {4, []int{2}}}
)

// newMachine returns what writes kernels into a file. tables are those that the file has so far.
func newMachine(file *amd64.File, k kernels, tables map[string]operand.Mem) *machine {
	m := &machine{Assembler: file.For(k.machine), kernels: k, tables: tables}
	m.masks = laneMasks{m}
	if m.Opmasks {
		m.masks = opmasks{m}
	}
	return m
}

// function begins a function. Its name gets the machine's as a suffix.
func (m *machine) function(name, signature string) {
	m.Begin(name+m.Name, signature)
	m.Attributes(attr.NOSPLIT)
	m.labels = 0
}

// label returns a name for a label that the function does not have yet. Label puts it where it belongs.
func (m *machine) label(name string) string {
	m.labels++
	return fmt.Sprintf("%s%d", name, m.labels)
}

// copy returns a copy of a register.
func (m *machine) copy(r reg.Register) reg.GPVirtual {
	c := m.GP64()
	m.MOVQ(r, c)
	return c
}

// lanes is the number of float32 in a register.
func (m *machine) lanes() int { return m.RegisterBytes / 4 }

// block is 16 float32 or int32 in one or two registers.
type block []reg.VecVirtual

// block returns new registers for a block.
func (m *machine) block() block {
	b := make(block, 64/m.RegisterBytes)
	for i := range b {
		b[i] = m.Vector()
	}
	return b
}

// part returns where register i of a block at p lies in memory.
func (m *machine) part(p operand.Mem, i int) operand.Mem { return p.Offset(i * m.RegisterBytes) }

// zero clears vector registers, as floats: Zero does it as integers.
func (m *machine) zero(registers ...reg.VecVirtual) {
	for _, r := range registers {
		m.VXORPS(r, r, r)
	}
}

// eachBlock generates a loop over the blocks of a row of n elements, in ascending order. It calls body twice: for what is
// done with each whole block, with a nil mask, and for what is done with the last one if it is not whole, with the mask of
// its elements. offset is where the block begins, in bytes.
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

// table returns a read-only table of words. It is made when it is asked for by this name for the first time.
func (m *machine) table(name string, words int, word func(i int) uint32) operand.Mem {
	if t, ok := m.tables[name]; ok {
		return t
	}
	t := m.StaticGlobal(name)
	m.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range words {
		m.AddDatum(4*i, operand.U32(word(i)))
	}
	m.tables[name] = t
	return t
}

// word returns eight copies of a word in memory: an operand of 32 bytes. Those who need one word take the first.
func (m *machine) word(bits uint32) operand.Mem {
	return m.table(fmt.Sprintf("word_%08x", bits), 8, func(int) uint32 { return bits })
}

// constants are operands with a value in all lanes, by its bits.
type constants map[uint32]operand.Op

// constants prepares values for the loop that follows: in registers if there are many, else in memory.
func (m *machine) constants(values ...float32) constants {
	c := constants{}
	for _, v := range values {
		bits := math.Float32bits(v)
		if _, ok := c[bits]; ok {
			continue
		}
		c[bits] = m.word(bits)
		if m.Registers > 16 {
			c[bits] = m.broadcast(m.word(bits))
		}
	}
	return c
}

// of returns the operand for a value that has been prepared.
func (c constants) of(v float32) operand.Op {
	op, ok := c[math.Float32bits(v)]
	if !ok {
		panic(fmt.Sprintf("constant %v has not been prepared", v))
	}
	return op
}

// broadcast returns a register with a value in every lane.
func (m *machine) broadcast(value operand.Op) reg.VecVirtual {
	r := m.Vector()
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

// reduceToFour combines the 16 lanes of a block to four: halves, then quarters. It is the first part of reduce.
func (m *machine) reduceToFour(b block, combine func(operands ...operand.Op)) reg.Register {
	low, x, high, quarter := b[0].AsY(), b[0].AsX(), m.YMM(), m.XMM()
	if len(b) == 1 {
		m.VEXTRACTF64X4(operand.Imm(1), b[0], high)
	} else {
		m.VMOVUPS(b[1], high)
	}
	combine(high, low, low)
	m.VEXTRACTF128(operand.Imm(1), low, quarter)
	combine(quarter, x, x)
	return x
}
