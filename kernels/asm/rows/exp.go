package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/arithmetic"
)

var infinity = float32(math.Inf(1))

// expConstants are the constants that exp needs; expM1 needs expM1Min too.
var expConstants = []float32{arithmetic.Log2E, -arithmetic.Ln2High, -arithmetic.Ln2Low, arithmetic.ExpP0, arithmetic.ExpP1, arithmetic.ExpP2, arithmetic.ExpP3, arithmetic.ExpP4, 1, arithmetic.ExpMin, arithmetic.ExpMax, infinity}

// exp replaces each element of a block by its exponential. aboveZero says that there may be elements above zero; without
// them no comparison with the upper limit is needed.
func (m *machine) exp(c constants, b block, aboveZero bool) {
	for _, x := range b {
		kept := m.compare(notLess, x, c.of(arithmetic.ExpMin))
		var above condition
		if aboveZero {
			above = m.compare(greaterThan, x, c.of(arithmetic.ExpMax))
		}
		n, r, p := m.expParts(c, x)
		m.VFMADD213PS(c.of(1), r, p)
		m.VCVTPS2DQ(n, n)
		m.VPSLLD(operand.Imm(23), n, n)
		m.VPADDD(n, p, x)
		m.keep(kept, x)
		if aboveZero {
			limit := m.Vector()
			m.VMOVUPS(c.of(infinity), limit)
			m.replace(above, limit, x)
		}
	}
}

// expParts splits x into n ln 2 + r and returns q = (exp r - 1) / r. r is in the register of x.
func (m *machine) expParts(c constants, x reg.VecVirtual) (n, r, q reg.VecVirtual) {
	n, r, q = m.Vector(), x, m.Vector()
	m.VMULPS(c.of(arithmetic.Log2E), x, n)
	m.Round(n, n)
	m.VFMADD231PS(c.of(-arithmetic.Ln2High), n, r)
	m.VFMADD231PS(c.of(-arithmetic.Ln2Low), n, r)
	m.VMOVUPS(c.of(arithmetic.ExpP4), q)
	for _, coefficient := range []float32{arithmetic.ExpP3, arithmetic.ExpP2, arithmetic.ExpP1, arithmetic.ExpP0, 1} {
		m.VFMADD213PS(c.of(coefficient), r, q)
	}
	return n, r, q
}

// expM1 replaces each element of a block, none of which is above zero, by its exponential minus 1.
func (m *machine) expM1(c constants, b block) {
	for _, x := range b {
		limit := m.Vector()
		m.VMOVUPS(c.of(arithmetic.ExpM1Min), limit)
		m.VMAXPS(x, limit, x) // in this order a NaN stays
		scale, r, q := m.expParts(c, x)
		m.VMULPS(r, q, q)
		m.VCVTPS2DQ(scale, scale)
		m.VPSLLD(operand.Imm(23), scale, scale)
		m.VPADDD(c.of(1), scale, scale) // 2^n
		m.VSUBPS(c.of(1), scale, x)
		m.VFMADD231PS(q, scale, x)
	}
}
