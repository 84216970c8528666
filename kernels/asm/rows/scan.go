package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// broadcastBlock returns a block with a value in every lane.
func (m *machine) broadcastBlock(value operand.Op) block {
	b := m.block()
	for _, r := range b {
		m.VBROADCASTSS(value, r)
	}
	return b
}

// argMax generates argMaxReference: one pass for the maximum, one that stops at its first place.
func argMax(m *machine) {
	m.function("argMax", "func(x *float32, n int) (index int, nan uint32)")
	m.Doc("argMax" + m.name + " is argMaxReference for n > 0; nan is not 0 if there is a NaN.")
	x, n := m.param("x"), m.param("n")

	lowest := m.broadcast(m.word(math.Float32bits(-infinity)))
	maximum := m.broadcastBlock(m.word(math.Float32bits(-infinity)))
	nans := m.GP32()
	m.XORL(nans, nans)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		m.ORL(m.bits(m.compareBlock(unordered, v, v)), nans)
		m.fill(k, lowest, v)
		m.maximum(v, maximum)
	})
	m.Store(nans, m.Return("nan"))

	largest := m.broadcast(m.reduce(maximum, m.VMAXPS))
	noNumber := m.broadcast(m.word(0x7fc00000))
	found, done := m.label("found"), m.label("done")
	place, bits := m.GP64(), m.GP32()
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		m.fill(k, noNumber, v) // equal to nothing
		m.MOVQ(offset, place)
		conditions := make([]condition, len(v))
		for i := range v {
			conditions[i] = m.compare(equal, v[i], largest)
		}
		m.MOVL(m.bits(conditions), bits)
		m.TESTL(bits, bits)
		m.JNZ(operand.LabelRef(found))
	})
	m.XORQ(place, place) // nothing but NaN
	m.JMP(operand.LabelRef(done))
	m.Label(found)
	m.SHRQ(operand.Imm(2), place)
	m.BSFL(bits, bits)
	m.ADDQ(bits.As64(), place)
	m.Label(done)
	m.Store(place, m.Return("index"))
	m.end()
}

// maximum replaces the elements of maximum by those of v that are larger. NaN is larger than
// nothing: where an operand is NaN, the result is that written first.
func (m *machine) maximum(v, maximum block) {
	for i := range v {
		m.VMAXPS(maximum[i], v[i], maximum[i])
	}
}

// readAccumulators is the number of independent chains of read.
const readAccumulators = 8

// read generates the fold of readReference over whole lines of 64 bytes.
func read(m *machine) {
	m.function("read", "func(p *byte, bytes int) uint64")
	m.Doc("read" + m.name + " returns the exclusive or of all 8-byte words. bytes is a multiple of 64.")
	p, left := m.param("p"), m.param("bytes")
	fold := make([]reg.VecVirtual, readAccumulators)
	for i := range fold {
		fold[i] = m.vector()
	}
	m.zero(fold...)
	chunk := readAccumulators * m.registerBytes
	loop, rest, lines, done := m.label("loop"), m.label("rest"), m.label("lines"), m.label("done")
	m.Label(loop)
	m.CMPQ(left, operand.I32(chunk))
	m.JLT(operand.LabelRef(rest))
	for i, r := range fold {
		m.VXORPS(operand.Mem{Base: p, Disp: i * m.registerBytes}, r, r)
	}
	m.ADDQ(operand.I32(chunk), p)
	m.SUBQ(operand.I32(chunk), left)
	m.JMP(operand.LabelRef(loop))
	m.Label(rest)
	total := block(fold[:64/m.registerBytes])
	for i := len(total); i < len(fold); i++ {
		r := total[i%len(total)]
		m.VXORPS(fold[i], r, r)
	}
	m.Label(lines)
	m.TESTQ(left, left)
	m.JZ(operand.LabelRef(done))
	for i, r := range total {
		m.VXORPS(m.part(operand.Mem{Base: p}, i), r, r)
	}
	m.ADDQ(operand.Imm(64), p)
	m.SUBQ(operand.Imm(64), left)
	m.JMP(operand.LabelRef(lines))
	m.Label(done)
	x := m.reduceToFour(total, m.VXORPS)
	low, high := m.GP64(), m.GP64()
	m.VMOVQ(x, low)
	m.VPEXTRQ(operand.Imm(1), x, high)
	m.XORQ(high, low)
	m.Store(low, m.ReturnIndex(0))
	m.end()
}
