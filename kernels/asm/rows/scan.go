package main

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// argMax generates argMaxReference. A first pass finds the maximum, a second the first element that equals it.
func argMax(m *machine) {
	m.function("argMax", "func(x *float32, n int) (index int, nan uint32)")
	m.Doc("argMax" + m.Name + " is argMaxReference for n > 0; nan is not 0 if there is a NaN.")
	x, n := m.Parameter("x"), m.Parameter("n")

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
	// The last block is filled with zeros. They are never found: if zero is the maximum, an element before them equals it.
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
	m.End()
}

// maximum sets each element of maximum to that of v where it is larger. A NaN in v is never larger: where an operand is NaN,
// VMAXPS returns the one that is written first here.
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
	m.Doc("threshold" + m.Name + " is thresholdReference for n > 0.")
	maxima := m.GP64()
	m.LEAQ(m.AllocLocal(4*thresholdMaxima), maxima)
	m.maxima(m.Parameter("x"), m.Parameter("n"), maxima)
	place := m.highestPlace(maxima, m.Parameter("k"))

	result, none, number := m.numberAt(place), m.GP32(), m.XMM()
	m.MOVL(operand.U32(math.Float32bits(-infinity)), none)
	m.TESTL(place, place)
	m.CMOVLEQ(none, result)
	m.VMOVD(result, number)
	m.Store(number, m.ReturnIndex(0))
	m.End()
}

// maxima divides n elements into classes, by their index modulo thresholdMaxima, and writes the maximum of each class.
// First it goes over the whole rows of thresholdMaxima elements, for as many classes at once as registers hold; then it
// takes in, in memory, what is left behind the rows. It uses up x and n.
func (m *machine) maxima(x, n, result reg.GPVirtual) {
	rows := m.copy(n)
	m.SHRQ(operand.Imm(7), rows)
	lowest := m.broadcast(m.word(math.Float32bits(-infinity)))
	for at := 0; at < 4*thresholdMaxima; at += maximaRegisters * m.RegisterBytes {
		place := func(base reg.Register, i int) operand.Mem { return m.part(operand.Mem{Base: base, Disp: at}, i) }
		largest := make([]reg.VecVirtual, maximaRegisters)
		for i := range largest {
			largest[i] = m.Vector()
			m.VMOVUPS(lowest, largest[i])
		}
		p := m.copy(x)
		m.repeat(m.copy(rows), func() {
			for i, r := range largest {
				v := m.Vector()
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

// highestPlace returns the highest place in the order of all numbers that at least k maxima reach. It finds the
// thresholdBits highest bits of the place, one after the other; the others are 0.
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
		candidate := m.Vector()
		m.VMOVD(m.numberAt(next), candidate.AsX())
		m.VBROADCASTSS(candidate.AsX(), candidate)
		count := m.GP32()
		m.XORL(count, count)
		for i := range thresholdMaxima / blockLanes {
			reached := make([]condition, 64/m.RegisterBytes)
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

// numberAt returns the bits of the number at a place in the order of all numbers, as numberAt of package kernels does.
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
	m.Doc("collect" + m.Name + " is collectReference; with each block it may write 16 indices, whatever there is to write.")
	indices, x, n := m.Parameter("indices"), m.Parameter("x"), m.Parameter("n")
	value := m.XMM()
	m.Load(m.Param("threshold"), value)
	least := m.broadcastBlock(value)
	count := m.GP64()
	m.XORQ(count, count)
	if m.Opmasks {
		m.collectPacked(indices, x, n, count, least)
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
	m.End()
}

// collectedBlocks is how many blocks collectPacked looks at together. If no element of them reaches the threshold, which is
// the rule, it passes by. Otherwise it takes every block without a branch, since no CPU could predict that branch.
const collectedBlocks = 4

// collectPacked writes, for each block, a whole register of indices, the wanted ones packed in front, and goes on by their
// number. It needs opmasks.
func (m *machine) collectPacked(indices, x, n, count reg.GPVirtual, least block) {
	index, step := m.Vector(), m.Vector() // of the elements of a block; to the next
	m.VMOVDQU32(m.table("ascending", blockLanes, func(i int) uint32 { return uint32(i) }), index)
	m.VPBROADCASTD(m.word(blockLanes), step)
	pack := func(k condition) {
		packed, added := m.Vector(), m.GP32()
		m.VPCOMPRESSD_Z(index, k, packed)
		m.VMOVDQU32(packed, operand.Mem{Base: indices, Index: count, Scale: 4})
		m.KMOVW(k, added)
		m.POPCNTL(added, added)
		m.ADDQ(added.As64(), count)
		m.VPADDD(step, index, index)
	}
	groups, skip := m.copy(n), m.Vector()
	m.SHRQ(operand.Imm(uint64(bits.TrailingZeros(collectedBlocks*blockLanes))), groups)
	m.VPSLLD(operand.Imm(uint64(bits.TrailingZeros(collectedBlocks))), step, skip)
	m.repeat(groups, func() {
		none, next := m.label("none"), m.label("next")
		var k [collectedBlocks]condition
		some := m.K()
		for b := range collectedBlocks {
			k[b] = m.compare(notAbove, least[0], operand.Mem{Base: x, Disp: 64 * b})
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
			m.KANDW(k[0], reached[0], reached[0])
		}
		pack(reached[0])
	})
}

// collectBits writes the indices of those elements of a block whose bits are set in left, one after the other. It uses up
// left.
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
	m.Doc("count" + m.Name + " is countReference.")
	x, n := m.Parameter("x"), m.Parameter("n")
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
	m.End()
}

// read goes through its bytes in several streams at once, since the memory system fetches more lines at a time for several
// than for one.
const (
	readStreams   = 4
	readRegisters = 2   // of each stream in one step
	readStep      = 128 // bytes of each stream that the caller's count is a multiple of
)

// read generates the fold of readReference.
func read(m *machine) {
	m.function("read", "func(p *byte, quarter int) uint64")
	m.Doc(fmt.Sprintf("read%s returns the exclusive or of the 8-byte words of %d quarter bytes. quarter is a multiple of %d, not 0.",
		m.Name, readStreams, readStep))
	p, left := m.Parameter("p"), m.Parameter("quarter")
	stream := rows{base: p, stride: m.copy(left), triple: m.GP64()}
	m.LEAQ(operand.Mem{Base: left, Index: left, Scale: 2}, stream.triple)
	fold := make([]reg.VecVirtual, readStreams*readRegisters)
	for i := range fold {
		fold[i] = m.Vector()
	}
	m.zero(fold...)
	loop := m.label("loop")
	m.Label(loop)
	for i, r := range fold {
		m.VXORPS(stream.at(i/readRegisters, i%readRegisters*m.RegisterBytes), r, r)
	}
	m.ADDQ(operand.I32(readRegisters*m.RegisterBytes), p)
	m.SUBQ(operand.I32(readRegisters*m.RegisterBytes), left)
	m.JNZ(operand.LabelRef(loop))

	total := block(fold[:64/m.RegisterBytes])
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
	m.End()
}
