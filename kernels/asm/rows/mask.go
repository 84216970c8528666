package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Predicates of comparisons, none of which signals.
const (
	equal       = operand.U8(0x00)
	less        = operand.U8(0x11)
	notLess     = operand.U8(0x15) // true for NaN
	unordered   = operand.U8(0x03)
	greaterThan = operand.U8(0x1e)
	notAbove    = operand.U8(0x12) // false for NaN
)

// A condition is a register with a truth value for each lane of a vector register.
type condition reg.Register

// masks is how a machine keeps conditions, and what it does by them.
type masks interface {
	// compare returns x predicate y.
	compare(predicate operand.U8, x reg.Register, y operand.Op) condition
	// fromWords returns a condition that is true for the lanes of words that are all ones, false for those that are zero.
	fromWords(words reg.VecVirtual) condition
	// bits returns the conditions of a block as the lowest 16 bits of a register.
	bits(conditions []condition) reg.GPVirtual
	// keep clears the lanes of x for which c is false.
	keep(c condition, x reg.VecVirtual)
	// replace sets the lanes of x for which c is true to those of y.
	replace(c condition, y operand.Op, x reg.VecVirtual)
	// replaceOthers sets the lanes of x for which c is false to those of y.
	replaceOthers(c condition, y, x reg.VecVirtual)
	// loadLanes loads the lanes for which c is true and clears the others. It reads nothing of these.
	loadLanes(c condition, p operand.Mem, x reg.VecVirtual)
	// storeLanes stores the lanes for which c is true. It writes nothing of the others.
	storeLanes(c condition, x reg.VecVirtual, p operand.Mem)
}

// opmasks keeps conditions in opmask registers. A block is one register.
type opmasks struct{ m *machine }

func (o opmasks) compare(predicate operand.U8, x reg.Register, y operand.Op) condition {
	k := o.m.K()
	o.m.VCMPPS(predicate, y, x, k)
	return k
}

func (o opmasks) fromWords(words reg.VecVirtual) condition {
	k := o.m.K()
	o.m.VPTESTMD(words, words, k)
	return k
}

func (o opmasks) bits(conditions []condition) reg.GPVirtual {
	bits := o.m.GP32()
	o.m.KMOVW(conditions[0], bits)
	return bits
}

func (o opmasks) keep(c condition, x reg.VecVirtual) { o.m.VMOVAPS_Z(x, c, x) }

func (o opmasks) replace(c condition, y operand.Op, x reg.VecVirtual) { o.m.VMOVAPS(y, c, x) }

func (o opmasks) replaceOthers(c condition, y, x reg.VecVirtual) {
	others := o.m.K()
	o.m.KNOTW(c, others)
	o.m.VMOVAPS(y, others, x)
}

func (o opmasks) loadLanes(c condition, p operand.Mem, x reg.VecVirtual) { o.m.VMOVUPS_Z(p, c, x) }

func (o opmasks) storeLanes(c condition, x reg.VecVirtual, p operand.Mem) { o.m.VMOVUPS(x, c, p) }

// laneMasks keeps conditions in vector registers, as lanes of all ones or zeros. A block is two registers.
type laneMasks struct{ m *machine }

func (l laneMasks) compare(predicate operand.U8, x reg.Register, y operand.Op) condition {
	lanes := l.m.Vector()
	l.m.VCMPPS(predicate, y, x, lanes)
	return lanes
}

func (l laneMasks) fromWords(words reg.VecVirtual) condition { return words }

func (l laneMasks) bits(conditions []condition) reg.GPVirtual {
	bits, high := l.m.GP32(), l.m.GP32()
	l.m.VMOVMSKPS(conditions[0], bits)
	l.m.VMOVMSKPS(conditions[1], high)
	l.m.SHLL(operand.Imm(8), high)
	l.m.ORL(high, bits)
	return bits
}

func (l laneMasks) keep(c condition, x reg.VecVirtual) { l.m.VANDPS(c, x, x) }

func (l laneMasks) replace(c condition, y operand.Op, x reg.VecVirtual) { l.m.VBLENDVPS(c, y, x, x) }

func (l laneMasks) replaceOthers(c condition, y, x reg.VecVirtual) { l.m.VBLENDVPS(c, x, y, x) }

func (l laneMasks) loadLanes(c condition, p operand.Mem, x reg.VecVirtual) { l.m.VMASKMOVPS(p, c, x) }

func (l laneMasks) storeLanes(c condition, x reg.VecVirtual, p operand.Mem) { l.m.VMASKMOVPS(x, c, p) }

// compareBlock compares the elements of two blocks.
func (m *machine) compareBlock(predicate operand.U8, x, y block) []condition {
	conditions := make([]condition, len(x))
	for i := range x {
		conditions[i] = m.compare(predicate, x[i], y[i])
	}
	return conditions
}

// mask says which elements of a block exist, the last block of a row being filled up. A nil mask is that of a whole block.
type mask []condition

// load reads a block, zeros where the mask is false: nothing is read there.
func (m *machine) load(k mask, p operand.Mem) block {
	b := m.block()
	for i, r := range b {
		if k == nil {
			m.VMOVUPS(m.part(p, i), r)
		} else {
			m.loadLanes(k[i], m.part(p, i), r)
		}
	}
	return b
}

// store writes the elements of a block for which the mask is true.
func (m *machine) store(k mask, b block, p operand.Mem) {
	for i, r := range b {
		if k == nil {
			m.VMOVUPS(r, m.part(p, i))
		} else {
			m.storeLanes(k[i], r, m.part(p, i))
		}
	}
}

// keepBlock clears the elements of a block for which the mask is false.
func (m *machine) keepBlock(k mask, b block) {
	for i := range k {
		m.keep(k[i], b[i])
	}
}

// fill sets the elements of a block for which the mask is false to the lanes of a register.
func (m *machine) fill(k mask, value reg.VecVirtual, b block) {
	for i := range k {
		m.replaceOthers(k[i], value, b[i])
	}
}

// firstLanes returns the mask of the first n elements. It uses up n.
func (m *machine) firstLanes(n reg.GPVirtual) mask {
	m.NEGQ(n)
	table := m.GP64()
	m.LEAQ(m.maskTable(), table)
	at := operand.Mem{Base: table, Disp: 4 * blockLanes, Index: n, Scale: 4}
	k := make(mask, 64/m.RegisterBytes)
	for i := range k {
		words := m.Vector()
		m.VMOVUPS(m.part(at, i), words)
		k[i] = m.fromWords(words)
	}
	return k
}

// maskTable returns 16 words of ones followed by 16 words of zeros: the 16 words from n before the zeros on are the mask of
// the first n elements.
func (m *machine) maskTable() operand.Mem {
	return m.table("masks", 2*blockLanes, func(i int) uint32 {
		if i < blockLanes {
			return 0xffffffff
		}
		return 0
	})
}
