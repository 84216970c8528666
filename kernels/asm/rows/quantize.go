package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
)

// The sizes and limits of reference_quantize.go in package kernels.
const (
	groupBlocks  = 4 // of 16 values
	minQuantized = 0x1p-120
)

// quantize generates quantizeReference.
func quantize(m *machine) {
	m.function("quantize", "func(codes *int8, scales *float32, sums *int32, x *float32, groups int)")
	m.Doc("quantize" + m.name + " is quantizeReference for groups of 64 values.")
	codes, scales, sums, x := m.param("codes"), m.param("scales"), m.param("sums"), m.param("x")
	groups := m.param("groups")

	magnitudeBits := m.vector()
	m.VBROADCASTSS(m.word(1<<31-1), magnitudeBits)
	limit := m.XMM()
	m.VMOVSS(m.word(math.Float32bits(127)), limit)

	m.repeat(groups, func() {
		special, next := m.label("special"), m.label("next")

		largest := m.block()
		for i := range groupBlocks {
			v := m.load(nil, operand.Mem{Base: x, Disp: 64 * i})
			for j, r := range v {
				if i == 0 {
					m.VANDPS(magnitudeBits, r, largest[j])
					continue
				}
				m.VANDPS(magnitudeBits, r, r)
				m.VPMAXUD(r, largest[j], largest[j])
			}
		}
		magnitude := m.reduce(largest, m.VPMAXUD)
		bits := m.GP32()
		m.VMOVD(magnitude, bits)
		m.SUBL(operand.U32(math.Float32bits(minQuantized)), bits)
		m.CMPL(bits, operand.U32(math.Float32bits(infinity)-math.Float32bits(minQuantized)))
		m.JCC(operand.LabelRef(special)) // unsigned: below the smallest or not finite

		scale, factor := m.XMM(), m.XMM()
		m.VDIVSS(limit, magnitude, scale)
		m.VMOVSS(scale, operand.Mem{Base: scales})
		m.VDIVSS(magnitude, limit, factor)
		inverse := m.broadcast(factor)
		total := m.block()
		for i := range groupBlocks {
			v := m.load(nil, operand.Mem{Base: x, Disp: 64 * i})
			for j, r := range v {
				m.VMULPS(inverse, r, r)
				m.VCVTPS2DQ(r, r)
				if i == 0 {
					m.VMOVUPS(r, total[j])
				} else {
					m.VPADDD(r, total[j], total[j])
				}
			}
			m.storeBytes(v, operand.Mem{Base: codes, Disp: blockLanes * i})
		}
		m.VMOVD(m.reduce(total, m.VPADDD), operand.Mem{Base: sums})
		m.JMP(operand.LabelRef(next))

		// The scale is 0 for what is too small and NaN for what holds an infinity or NaN.
		m.Label(special)
		tiny := m.label("tiny")
		zeros := m.YMM()
		m.VXORPS(zeros, zeros, zeros)
		m.VMOVUPS(zeros, operand.Mem{Base: codes})
		m.VMOVUPS(zeros, operand.Mem{Base: codes, Disp: 32})
		value := m.GP32()
		m.XORL(value, value)
		m.MOVL(value, operand.Mem{Base: sums})
		m.TESTL(bits, bits)
		m.JLT(operand.LabelRef(tiny)) // the difference is negative
		m.MOVL(operand.U32(0x7fc00000), value)
		m.Label(tiny)
		m.MOVL(value, operand.Mem{Base: scales})

		m.Label(next)
		m.ADDQ(operand.I32(4*64), x)
		m.ADDQ(operand.Imm(64), codes)
		m.ADDQ(operand.Imm(4), scales)
		m.ADDQ(operand.Imm(4), sums)
	})
	m.end()
}

// storeBytes writes 16 int32 as bytes.
func (m *machine) storeBytes(b block, p operand.Mem) {
	if m.wide {
		m.VPMOVDB(b[0], p)
		return
	}
	words := m.YMM()
	m.VPACKSSDW(b[1], b[0], words) // 0-3, 8-11, 4-7, 12-15
	m.VPERMQ(operand.Imm(0b11_01_10_00), words, words)
	high := m.XMM()
	m.VEXTRACTI128(operand.Imm(1), words, high)
	low := words.AsX()
	m.VPACKSSWB(high, low, low)
	m.VMOVDQU(low, p)
}
