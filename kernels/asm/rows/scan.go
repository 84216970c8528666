package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

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

	largest := m.broadcastBlock(m.reduce(maximum, m.VMAXPS))
	found, done := m.label("found"), m.label("done")
	place, bits := m.GP64(), m.GP32()
	// The zeros behind the row stand for nothing: if the maximum is zero, it is found before them.
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		m.MOVQ(offset, place)
		m.MOVL(m.bits(m.compareBlock(equal, v, largest)), bits)
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

// read walks through its bytes at several places at once: the memory system keeps more lines on their
// way for several streams than for one.
const (
	readStreams   = 4
	readRegisters = 2   // of each stream in one step
	readStep      = 128 // bytes of each stream that the caller's count is a multiple of
)

// read generates the fold of readReference.
func read(m *machine) {
	m.function("read", "func(p *byte, quarter int) uint64")
	m.Doc(fmt.Sprintf("read%s returns the exclusive or of the 8-byte words of %d quarter bytes. quarter is a multiple of %d, not 0.",
		m.name, readStreams, readStep))
	p, left := m.param("p"), m.param("quarter")
	stream := rows{base: p, stride: m.copy(left), triple: m.GP64()}
	m.LEAQ(operand.Mem{Base: left, Index: left, Scale: 2}, stream.triple)
	fold := make([]reg.VecVirtual, readStreams*readRegisters)
	for i := range fold {
		fold[i] = m.vector()
	}
	m.zero(fold...)
	loop := m.label("loop")
	m.Label(loop)
	for i, r := range fold {
		m.VXORPS(stream.at(i/readRegisters, i%readRegisters*m.registerBytes), r, r)
	}
	m.ADDQ(operand.I32(readRegisters*m.registerBytes), p)
	m.SUBQ(operand.I32(readRegisters*m.registerBytes), left)
	m.JNZ(operand.LabelRef(loop))

	total := block(fold[:64/m.registerBytes])
	for i := len(total); i < len(fold); i++ {
		r := total[i%len(total)]
		m.VXORPS(fold[i], r, r)
	}
	x := m.reduceToFour(total, m.VXORPS)
	low, high := m.GP64(), m.GP64()
	m.VMOVQ(x, low)
	m.VPEXTRQ(operand.Imm(1), x, high)
	m.XORQ(high, low)
	m.Store(low, m.ReturnIndex(0))
	m.end()
}
