package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// placement says where the elements of one position go in a cache: the values side by side, the keys
// one into each line of 16 positions.
type placement struct {
	name     string
	distance int // in elements
}

var placements = []placement{{"storeKey", blockLanes}, {"storeValue", 1}}

// storeHalf generates the conversion of whole blocks to binary16, rounded to nearest even.
func storeHalf(m *machine, place placement) {
	name := place.name + "F16"
	m.function(name, "func(dst *byte, src *float32, blocks int)")
	m.Doc(name + m.Name + " stores 16 elements per block in a cache of binary16.")
	dst, src := m.Parameter("dst"), m.Parameter("src")
	const bytes, perRegister = 2, 8
	m.repeat(m.Parameter("blocks"), func() {
		for i := range blockLanes / perRegister {
			v, converted := m.YMM(), m.XMM()
			m.VMOVUPS(operand.Mem{Base: src, Disp: i * 4 * perRegister}, v)
			m.VCVTPS2PH(operand.Imm(0), v, converted)
			m.scatter(converted, operand.Mem{Base: dst, Disp: i * perRegister * bytes * place.distance}, place.distance, bytes, m.VPEXTRW)
		}
		m.ADDQ(operand.Imm(4*blockLanes), src)
		m.ADDQ(operand.I32(blockLanes*bytes*place.distance), dst)
	})
	m.End()
}

// storeInt8 generates the quantization of whole blocks with one scale.
func storeInt8(m *machine, place placement) {
	name := place.name + "Int8"
	m.function(name, "func(dst *byte, scale, src *float32, blocks int)")
	m.Doc(name + m.Name + " stores 16 elements per block, and the scale of all, in a cache of int8.")
	dst, src, blocks := m.Parameter("dst"), m.Parameter("src"), m.Parameter("blocks")
	q := newQuantizer(m)
	largest := m.block()
	m.zero(largest...)
	p := m.copy(src)
	m.repeat(m.copy(blocks), func() {
		q.enlarge(largest, m.load(nil, operand.Mem{Base: p}))
		m.ADDQ(operand.Imm(4*blockLanes), p)
	})

	special, done := m.label("special"), m.label("done")
	store := func(codes reg.VecVirtual) {
		m.scatter(codes, operand.Mem{Base: dst}, place.distance, 1, m.VPEXTRB)
		m.ADDQ(operand.I32(blockLanes*place.distance), dst)
	}
	inverse := q.scale(largest, operand.Mem{Base: m.Parameter("scale")}, special)
	m.repeat(m.copy(blocks), func() {
		v := m.load(nil, operand.Mem{Base: src})
		q.codes(inverse, v)
		store(q.bytes(v))
		m.ADDQ(operand.Imm(4*blockLanes), src)
	})
	m.JMP(operand.LabelRef(done))
	m.Label(special)
	zeros := m.XMM()
	m.zero(zeros)
	m.repeat(blocks, func() { store(zeros) })
	m.Label(done)
	m.End()
}

// scatter stores the elements of a register at equal distances.
func (m *machine) scatter(x reg.VecVirtual, p operand.Mem, distance, bytes int, extract func(imm, x, dst operand.Op)) {
	if distance == 1 {
		m.VMOVUPS(x, p)
		return
	}
	for i := range 16 / bytes {
		extract(operand.Imm(uint64(i)), x, p.Offset(i*bytes*distance))
	}
}
