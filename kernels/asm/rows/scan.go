package main

import (
	"fmt"
	"math"
	"math/bits"

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

const (
	// thresholdMaxima and thresholdBits are the number of maxima and the significant bits of
	// thresholdReference.
	thresholdMaxima = 128
	thresholdBits   = 16
	// maximaRegisters is how many registers of maxima are held at once.
	maximaRegisters = 8
)

// threshold generates thresholdReference.
func threshold(m *machine) {
	m.function("threshold", "func(x *float32, n int, k int) float32")
	m.Doc("threshold" + m.name + " is thresholdReference for n > 0.")
	maxima := m.GP64()
	m.LEAQ(m.AllocLocal(4*thresholdMaxima), maxima)
	m.maxima(m.param("x"), m.param("n"), maxima)
	place := m.highestPlace(maxima, m.param("k"))

	result, none, number := m.numberAt(place), m.GP32(), m.XMM()
	m.MOVL(operand.U32(math.Float32bits(-infinity)), none)
	m.TESTL(place, place)
	m.CMOVLEQ(none, result)
	m.VMOVD(result, number)
	m.Store(number, m.ReturnIndex(0))
	m.end()
}

// maxima writes the maxima of those of n elements whose index is the same modulo thresholdMaxima: as many at
// once as registers hold, over whole rows of all of them; then, in memory, those of the rest.
func (m *machine) maxima(x, n, result reg.GPVirtual) {
	rows := m.copy(n)
	m.SHRQ(operand.Imm(7), rows)
	lowest := m.broadcast(m.word(math.Float32bits(-infinity)))
	for at := 0; at < 4*thresholdMaxima; at += maximaRegisters * m.registerBytes {
		place := func(base reg.Register, i int) operand.Mem { return m.part(operand.Mem{Base: base, Disp: at}, i) }
		largest := make([]reg.VecVirtual, maximaRegisters)
		for i := range largest {
			largest[i] = m.vector()
			m.VMOVUPS(lowest, largest[i])
		}
		p := m.copy(x)
		m.repeat(m.copy(rows), func() {
			for i, r := range largest {
				v := m.vector()
				m.VMOVUPS(place(p, i), v)
				m.VMAXPS(r, v, r)
			}
			m.ADDQ(operand.I32(4*thresholdMaxima), p)
		})
		for i, r := range largest {
			m.VMOVUPS(r, place(result, i))
		}
	}
	m.SHLQ(operand.Imm(9), rows)
	m.ADDQ(rows, x)
	m.ANDQ(operand.Imm(thresholdMaxima-1), n)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v, largest := m.load(k, element(x, offset)), m.load(nil, element(result, offset))
		m.fill(k, lowest, v)
		m.maximum(v, largest)
		m.store(nil, largest, element(result, offset))
	})
}

// highestPlace returns the highest place in the order of numbers, of thresholdBits, that k maxima reach.
func (m *machine) highestPlace(maxima, k reg.GPVirtual) (place reg.GPVirtual) {
	place = m.GP32()
	bit, left := m.GP32(), m.GP64()
	m.XORL(place, place)
	m.MOVL(operand.U32(1<<31), bit)
	m.MOVQ(operand.U32(thresholdBits), left)
	m.repeat(left, func() {
		next := m.GP32()
		m.MOVL(place, next)
		m.ORL(bit, next)
		candidate := m.vector()
		m.VMOVD(m.numberAt(next), candidate.AsX())
		m.VBROADCASTSS(candidate.AsX(), candidate)
		count := m.GP32()
		m.XORL(count, count)
		for i := range thresholdMaxima / blockLanes {
			reached := make([]condition, 64/m.registerBytes)
			for j := range reached {
				reached[j] = m.compare(notAbove, candidate, m.part(operand.Mem{Base: maxima, Disp: 64 * i}, j))
			}
			bits := m.bits(reached)
			m.POPCNTL(bits, bits)
			m.ADDL(bits, count)
		}
		m.CMPL(count, k.As32())
		m.CMOVLGE(next, place)
		m.SHRL(operand.Imm(1), bit)
	})
	return place
}

// numberAt returns the bits of the number at a place in the order of all, see the function in package kernels.
func (m *machine) numberAt(place reg.GPVirtual) reg.GPVirtual {
	bits, mirror := m.GP32(), m.GP32()
	m.MOVL(place, bits)
	m.XORL(operand.U32(1<<31), bits)
	m.MOVL(bits, mirror)
	m.SARL(operand.Imm(31), mirror)
	m.SHRL(operand.Imm(1), mirror)
	m.XORL(mirror, bits)
	return bits
}

// collect generates collectReference.
func collect(m *machine) {
	m.function("collect", "func(indices *int32, x *float32, n int, threshold float32) int")
	m.Doc("collect" + m.name + " is collectReference; with each block it may write 16 indices, whatever there is to write.")
	indices, x, n := m.param("indices"), m.param("x"), m.param("n")
	value := m.XMM()
	m.Load(m.Param("threshold"), value)
	least := m.broadcastBlock(value)
	count := m.GP64()
	m.XORQ(count, count)
	if m.wide {
		m.collectWide(indices, x, n, count, least)
	} else {
		m.eachBlock(n, func(offset reg.Register, k mask) {
			bits := m.bits(m.compareBlock(notAbove, least, m.load(k, element(x, offset))))
			if k != nil {
				m.ANDL(m.bits(k), bits)
			}
			m.collectBits(indices, offset, bits, count)
		})
	}
	m.Store(count, m.ReturnIndex(0))
	m.end()
}

// collectedBlocks is how many blocks collectWide passes by together where none of their elements reach the
// threshold. In the others it does without branches, which nothing could predict.
const collectedBlocks = 4

// collectWide packs the elements of each block.
func (m *machine) collectWide(indices, x, n, count reg.GPVirtual, least block) {
	index, step := m.ZMM(), m.ZMM() // of the elements of a block; to the next
	m.VMOVDQU32(m.table("ascending", blockLanes, func(i int) uint32 { return uint32(i) }), index)
	m.VPBROADCASTD(m.word(blockLanes), step)
	pack := func(k reg.OpmaskVirtual) {
		packed, added := m.ZMM(), m.GP32()
		m.VPCOMPRESSD_Z(index, k, packed)
		m.VMOVDQU32(packed, operand.Mem{Base: indices, Index: count, Scale: 4})
		m.KMOVW(k, added)
		m.POPCNTL(added, added)
		m.ADDQ(added.As64(), count)
		m.VPADDD(step, index, index)
	}
	groups, skip := m.copy(n), m.ZMM()
	m.SHRQ(operand.Imm(uint64(bits.TrailingZeros(collectedBlocks*blockLanes))), groups)
	m.VPSLLD(operand.Imm(uint64(bits.TrailingZeros(collectedBlocks))), step, skip)
	m.repeat(groups, func() {
		none, next := m.label("none"), m.label("next")
		var k [collectedBlocks]reg.OpmaskVirtual
		some := m.K()
		for b := range collectedBlocks {
			k[b] = m.compare(notAbove, least[0], operand.Mem{Base: x, Disp: 64 * b}).k
			if b == 1 {
				m.KORW(k[0], k[1], some)
			} else if b > 1 {
				m.KORW(k[b], some, some)
			}
		}
		m.ADDQ(operand.I32(64*collectedBlocks), x)
		m.KORTESTW(some, some)
		m.JZ(operand.LabelRef(none))
		for b := range collectedBlocks {
			pack(k[b])
		}
		m.JMP(operand.LabelRef(next))
		m.Label(none)
		m.VPADDD(skip, index, index)
		m.Label(next)
	})
	m.ANDQ(operand.Imm(collectedBlocks*blockLanes-1), n)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		reached := m.compareBlock(notAbove, least, m.load(k, element(x, offset)))
		if k != nil {
			m.KANDW(k[0].k, reached[0].k, reached[0].k)
		}
		pack(reached[0].k)
	})
}

// collectBits writes the elements of a block whose bits are set, one after the other.
func (m *machine) collectBits(indices, offset reg.Register, left, count reg.GPVirtual) {
	next, done := m.label("next"), m.label("done")
	block := m.copy(offset)
	m.SHRQ(operand.Imm(2), block)
	m.Label(next)
	m.TESTL(left, left)
	m.JZ(operand.LabelRef(done))
	index := m.GP64()
	m.BSFL(left, index.As32())
	m.ADDQ(block, index)
	m.MOVL(index.As32(), operand.Mem{Base: indices, Index: count, Scale: 4})
	m.INCQ(count)
	lower := m.GP32()
	m.LEAL(operand.Mem{Base: left, Disp: -1}, lower)
	m.ANDL(lower, left)
	m.JMP(operand.LabelRef(next))
	m.Label(done)
}

// count generates countReference.
func count(m *machine) {
	m.function("count", "func(x *float32, n int, value float32) (larger, equal int)")
	m.Doc("count" + m.name + " is countReference.")
	x, n := m.param("x"), m.param("n")
	value := m.XMM()
	m.Load(m.Param("value"), value)
	compared := m.broadcastBlock(value)
	counts := map[operand.U8]reg.GPVirtual{greaterThan: m.GP64(), equal: m.GP64()}
	for _, predicate := range []operand.U8{greaterThan, equal} {
		m.XORQ(counts[predicate], counts[predicate])
	}
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		for _, predicate := range []operand.U8{greaterThan, equal} {
			bits := m.bits(m.compareBlock(predicate, v, compared))
			if k != nil {
				m.ANDL(m.bits(k), bits)
			}
			m.POPCNTL(bits, bits)
			m.ADDQ(bits.As64(), counts[predicate])
		}
	})
	m.Store(counts[greaterThan], m.Return("larger"))
	m.Store(counts[equal], m.Return("equal"))
	m.end()
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
