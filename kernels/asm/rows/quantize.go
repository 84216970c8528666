package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/arithmetic"
)

// groupBlocks is how many blocks of 16 values a group has, as in reference_quantize.go of package kernels.
const groupBlocks = 4

// quantizer holds the constants of quantization in registers.
type quantizer struct {
	*machine
	magnitudeBits reg.VecVirtual // in all lanes
	limit         reg.VecVirtual // the largest code, in the lowest lane
}

func newQuantizer(m *machine) *quantizer {
	q := &quantizer{machine: m, magnitudeBits: m.broadcast(m.word(1<<31 - 1)), limit: m.XMM()}
	m.VMOVSS(m.word(math.Float32bits(127)), q.limit)
	return q
}

// enlarge sets each element of largest to the magnitude of that of a block where it is larger. They are compared as
// integers, so that infinity and NaN are the largest. The block is used up.
func (q *quantizer) enlarge(largest, b block) {
	for i := range b {
		q.VANDPS(q.magnitudeBits, b[i], b[i])
		q.VPMAXUD(b[i], largest[i], largest[i])
	}
}

// scale stores the scale of some values, given the largest magnitudes among them, and returns the factor that makes codes
// of the values. If all codes are zero it jumps to special instead: it has then stored a scale of 0 if all values are too
// small, NaN if any is not finite.
func (q *quantizer) scale(largest block, scale operand.Mem, special string) (inverse reg.VecVirtual) {
	usual, small := q.label("usual"), q.label("small")
	magnitude := q.reduce(largest, q.VPMAXUD)
	bits := q.GP32()
	q.VMOVD(magnitude, bits)
	q.SUBL(operand.U32(math.Float32bits(arithmetic.MinQuantized)), bits)
	q.CMPL(bits, operand.U32(math.Float32bits(infinity)-math.Float32bits(arithmetic.MinQuantized)))
	q.JCS(operand.LabelRef(usual)) // unsigned: what lies below the smallest has wrapped around and is large

	value := q.GP32()
	q.XORL(value, value)
	q.TESTL(bits, bits)
	q.JLT(operand.LabelRef(small))
	q.MOVL(operand.U32(0x7fc00000), value)
	q.Label(small)
	q.MOVL(value, scale)
	q.JMP(operand.LabelRef(special))

	q.Label(usual)
	quotient, factor := q.XMM(), q.XMM()
	q.VDIVSS(q.limit, magnitude, quotient)
	q.VMOVSS(quotient, scale)
	q.VDIVSS(magnitude, q.limit, factor)
	return q.broadcast(factor)
}

// codes replaces the elements of a block by their codes as int32.
func (q *quantizer) codes(inverse reg.VecVirtual, b block) {
	for _, r := range b {
		q.VMULPS(inverse, r, r)
		q.VCVTPS2DQ(r, r)
	}
}

// bytes packs 16 codes into 16 bytes.
func (q *quantizer) bytes(b block) reg.VecVirtual {
	packed := q.XMM()
	if len(b) == 1 { // a register of 64 bytes
		q.VPMOVDB(b[0], packed)
		return packed
	}
	words, high := q.YMM(), q.XMM()
	q.VPACKSSDW(b[1], b[0], words) // works in halves of a register, which leaves codes 0-3, 8-11, 4-7, 12-15
	q.VPERMQ(operand.Imm(0b11_01_10_00), words, words)
	q.VEXTRACTI128(operand.Imm(1), words, high)
	q.VPACKSSWB(high, words.AsX(), packed)
	return packed
}

// quantize generates quantizeReference.
func quantize(m *machine) {
	m.function("quantize", "func(codes *int8, scales *float32, sums *int32, x *float32, groups int)")
	m.Doc("quantize" + m.Name + " is quantizeReference for groups of 64 values.")
	codes, scales, sums, x := m.Parameter("codes"), m.Parameter("scales"), m.Parameter("sums"), m.Parameter("x")
	q := newQuantizer(m)
	m.repeat(m.Parameter("groups"), func() {
		special, next := m.label("special"), m.label("next")
		largest := m.block()
		m.zero(largest...)
		for i := range groupBlocks {
			q.enlarge(largest, m.load(nil, operand.Mem{Base: x, Disp: 64 * i}))
		}
		inverse := q.scale(largest, operand.Mem{Base: scales}, special)
		total := m.block()
		m.zero(total...)
		for i := range groupBlocks {
			v := m.load(nil, operand.Mem{Base: x, Disp: 64 * i})
			q.codes(inverse, v)
			for j := range v {
				m.VPADDD(v[j], total[j], total[j])
			}
			m.VMOVDQU(q.bytes(v), operand.Mem{Base: codes, Disp: blockLanes * i})
		}
		m.VMOVD(m.reduce(total, m.VPADDD), operand.Mem{Base: sums})
		m.JMP(operand.LabelRef(next))

		m.Label(special)
		zeros := m.YMM()
		m.zero(zeros)
		m.VMOVUPS(zeros, operand.Mem{Base: codes})
		m.VMOVUPS(zeros, operand.Mem{Base: codes, Disp: 32})
		m.VMOVD(zeros.AsX(), operand.Mem{Base: sums})

		m.Label(next)
		m.ADDQ(operand.I32(4*64), x)
		m.ADDQ(operand.Imm(64), codes)
		m.ADDQ(operand.Imm(4), scales)
		m.ADDQ(operand.Imm(4), sums)
	})
	m.End()
}
