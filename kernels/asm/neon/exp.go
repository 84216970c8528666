package main

import "github.com/tti-llm/tti/kernels/asm/arm64"

// The constants of exp.go in package kernels.
const (
	log2E   = 1.44269504088896341
	ln2High = 0.693359375
	ln2Low  = -2.12194440054690583e-4
	expP0   = 0.49999999999999983
	expP1   = 0.16666576989698692
	expP2   = 0.041666554617213226
	expP3   = 0.00836317905272642
	expP4   = 0.0013926183586787642
	expMin  = -87.33654
	expMax  = 88.72283

	expM1Min = -20
)

var (
	partsConstants = []float32{log2E, ln2High, ln2Low, expP0, expP1, expP2, expP3, expP4, 1}
	// expConstants are the constants that exp needs without elements above zero.
	expConstants = append([]float32{expMin}, partsConstants...)
	// expAboveConstants are those that it needs with them.
	expAboveConstants = append([]float32{expMax, infinity}, expConstants...)
	expM1Constants    = append([]float32{expM1Min}, partsConstants...)
)

// exp replaces each element of x by its exponential. aboveZero says that there may be elements above zero; without them no
// comparison with the upper limit is needed.
func (m *writer) exp(c constants, x arm64.Vector, aboveZero bool) {
	m.Scope(func() {
		below := m.Vector()
		m.FCMGT(below, c.of(expMin), x)
		var above arm64.Vector
		if aboveZero {
			above = m.Vector()
			m.FCMGT(above, x, c.of(expMax))
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
	m.FMUL(n, x, c.of(log2E))
	m.FRINTN(n, n)
	m.FMLS(x, n, c.of(ln2High))
	m.FMLS(x, n, c.of(ln2Low))
	m.Copy(q, c.of(expP3))
	m.FMLA(q, x, c.of(expP4))
	for _, coefficient := range []float32{expP2, expP1, expP0, 1} {
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
		m.FCMGT(below, c.of(expM1Min), x)
		m.BIT(x, c.of(expM1Min), below)
		n, q := m.expParts(c, x)
		m.FMUL(q, q, x)
		m.FCVTNS(n, n)
		m.SHL(n, n, 23)
		m.ADD(n, n, c.of(1)) // 2^n
		m.FSUB(x, n, c.of(1))
		m.FMLA(x, q, n)
	})
}
