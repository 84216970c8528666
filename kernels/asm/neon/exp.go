package main

import (
	"github.com/tti-llm/tti/kernels/asm/arithmetic"
	"github.com/tti-llm/tti/kernels/asm/arm64"
)

var (
	partsConstants = []float32{arithmetic.Log2E, arithmetic.Ln2High, arithmetic.Ln2Low, arithmetic.ExpP0, arithmetic.ExpP1, arithmetic.ExpP2, arithmetic.ExpP3, arithmetic.ExpP4, 1}
	// expConstants are the constants that exp needs without elements above zero.
	expConstants = append([]float32{arithmetic.ExpMin}, partsConstants...)
	// expAboveConstants are those that it needs with them.
	expAboveConstants = append([]float32{arithmetic.ExpMax, infinity}, expConstants...)
	expM1Constants    = append([]float32{arithmetic.ExpM1Min}, partsConstants...)
)

// exp replaces each element of x by its exponential. aboveZero says that there may be elements above zero; without them no
// comparison with the upper limit is needed.
func (m *writer) exp(c constants, x arm64.Vector, aboveZero bool) {
	m.Scope(func() {
		below := m.Vector()
		m.FCMGT(below, c.of(arithmetic.ExpMin), x)
		var above arm64.Vector
		if aboveZero {
			above = m.Vector()
			m.FCMGT(above, x, c.of(arithmetic.ExpMax))
		}
		n, q := m.expParts(c, x)
		p := m.Vector()
		m.Copy(p, c.of(1))
		m.FMLA(p, q, x)
		m.FCVTNS(n, n)
		m.SHL(n, n, 23)
		m.ADD(x, p, n)
		m.BIC(x, x, below)
		if aboveZero {
			m.BIT(x, c.of(infinity), above)
		}
	})
}

// expParts splits x into n ln 2 + r and returns q = (exp r - 1) / r. r is in the register of x.
func (m *writer) expParts(c constants, x arm64.Vector) (n, q arm64.Vector) {
	n, q = m.Vector(), m.Vector()
	next := m.Vector()
	m.FMUL(n, x, c.of(arithmetic.Log2E))
	m.FRINTN(n, n)
	m.FMLS(x, n, c.of(arithmetic.Ln2High))
	m.FMLS(x, n, c.of(arithmetic.Ln2Low))
	m.Copy(q, c.of(arithmetic.ExpP3))
	m.FMLA(q, x, c.of(arithmetic.ExpP4))
	for _, coefficient := range []float32{arithmetic.ExpP2, arithmetic.ExpP1, arithmetic.ExpP0, 1} {
		m.Copy(next, c.of(coefficient))
		m.FMLA(next, q, x)
		q, next = next, q
	}
	return n, q
}

// expM1 replaces each element of x, which is not above zero, by its exponential minus 1.
func (m *writer) expM1(c constants, x arm64.Vector) {
	m.Scope(func() {
		below := m.Vector()
		m.FCMGT(below, c.of(arithmetic.ExpM1Min), x)
		m.BIT(x, c.of(arithmetic.ExpM1Min), below)
		n, q := m.expParts(c, x)
		m.FMUL(q, q, x)
		m.FCVTNS(n, n)
		m.SHL(n, n, 23)
		m.ADD(n, n, c.of(1)) // 2^n
		m.FSUB(x, n, c.of(1))
		m.FMLA(x, q, n)
	})
}
