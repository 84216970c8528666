package main

import (
	"math"

	"github.com/tti-llm/tti/kernels/asm/arithmetic"
	"github.com/tti-llm/tti/kernels/asm/arm64"
)

// activation is a function between the matrices of a feed-forward block.
type activation struct {
	name      string
	constants []float32 // that it needs
	apply     func(m *writer, c constants, x arm64.Vector)
}

var activations = []activation{
	{"geluTanh", append([]float32{arithmetic.GELUTanh1, arithmetic.GELUTanh3}, expAboveConstants...), geluTanh},
	{"geluErf", append([]float32{1 / math.Sqrt2, arithmetic.ErfP, arithmetic.ErfA1, arithmetic.ErfA2, arithmetic.ErfA3, arithmetic.ErfA4, arithmetic.ErfA5, 0.5, 0}, expConstants...), geluErf},
	{"relu", []float32{0}, relu},
	{"silu", expAboveConstants, silu},
}

// activate generates the function of each element of a row.
func activate(file *arm64.File, f activation) {
	function(file, f.name, "func(x *float32, n int)", "is "+f.name+"Reference.", func(m *writer) {
		x, n := m.Parameter("x"), m.Parameter("n")
		c := m.constants(f.constants...)
		m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
			v := m.load(t, p[0])
			for _, r := range v {
				f.apply(m, c, r)
			}
			m.store(t, v, p[0])
		})
	})
}

// gate generates gateReference of a function.
func gate(file *arm64.File, f activation) {
	function(file, f.name+"Gate", "func(gate, up *float32, n int)", "is gateReference for "+f.name+"Reference.", func(m *writer) {
		gate, up, n := m.Parameter("gate"), m.Parameter("up"), m.Parameter("n")
		c := m.constants(f.constants...)
		m.eachBlock(n, []arm64.Register{gate, up}, func(p []arm64.Register, t *tail) {
			v := m.load(t, p[0])
			for _, r := range v {
				f.apply(m, c, r)
			}
			for i, r := range m.load(t, p[1]) {
				m.FMUL(v[i], v[i], r)
			}
			m.store(t, v, p[0])
		})
	})
}

// geluTanh is geluTanhReference: x / (1 + exp(-u)).
func geluTanh(m *writer, c constants, x arm64.Vector) {
	m.Scope(func() {
		square, u := m.Vector(), m.Vector()
		m.FMUL(square, x, x)
		m.Copy(u, c.of(arithmetic.GELUTanh1))
		m.FMLA(u, square, c.of(arithmetic.GELUTanh3))
		m.FMUL(u, u, x)
		m.FNEG(u, u)
		m.logistic(c, x, u)
	})
}

// geluErf is geluErfReference: x Phi(x) with the tail of Phi by a polynomial and exp(-a^2).
func geluErf(m *writer, c constants, x arm64.Vector) {
	m.Scope(func() {
		a, t, p, next := m.Vector(), m.Vector(), m.Vector(), m.Vector()
		m.FABS(a, x)
		m.FMUL(a, a, c.of(1/math.Sqrt2))
		m.Copy(p, c.of(1))
		m.FMLA(p, a, c.of(arithmetic.ErfP))
		m.FDIV(t, c.of(1), p)
		m.Copy(p, c.of(arithmetic.ErfA4))
		m.FMLA(p, t, c.of(arithmetic.ErfA5))
		for _, coefficient := range []float32{arithmetic.ErfA3, arithmetic.ErfA2, arithmetic.ErfA1} {
			m.Copy(next, c.of(coefficient))
			m.FMLA(next, p, t)
			p, next = next, p
		}
		m.FMUL(p, p, t)
		m.FMUL(a, a, a)
		m.FNEG(a, a)
		m.FreeVectors(t, next)
		m.exp(c, a, false)
		m.FMUL(p, p, a)
		m.FMUL(p, p, c.of(0.5))
		rest, negative := m.Vector(), m.Vector()
		m.FCMGT(negative, c.of(0), x)
		m.FSUB(rest, c.of(1), p)
		m.BIT(rest, p, negative)
		m.FMUL(x, x, rest)
	})
}

// relu is reluReference, which keeps NaN and -0.
func relu(m *writer, c constants, x arm64.Vector) {
	m.Scope(func() {
		negative := m.Vector()
		m.FCMGT(negative, c.of(0), x)
		m.BIC(x, x, negative)
	})
}

// silu is siluReference: x / (1 + exp(-x)).
func silu(m *writer, c constants, x arm64.Vector) {
	m.Scope(func() {
		u := m.Vector()
		m.FNEG(u, x)
		m.logistic(c, x, u)
	})
}

// logistic divides x by 1 + exp u, which it uses up.
func (m *writer) logistic(c constants, x, u arm64.Vector) {
	m.exp(c, u, true)
	m.FADD(u, u, c.of(1))
	m.FDIV(x, x, u)
}

// softCap generates softCapReference.
func softCap(file *arm64.File) {
	function(file, "softCap", "func(x *float32, n int, limit float32)", "is softCapReference.", func(m *writer) {
		x, n := m.Parameter("x"), m.Parameter("n")
		limit, sign := m.parameter("limit"), m.word(1<<31)
		c := m.constants(append([]float32{2}, expM1Constants...)...)
		m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
			v := m.load(t, p[0])
			for _, r := range v {
				m.Scope(func() {
					bound, other := m.Vector(), m.Vector()
					m.FDIV(bound, r, limit)
					m.FABS(bound, bound)
					m.FADD(bound, bound, bound)
					m.FNEG(bound, bound)
					m.expM1(c, bound)
					m.FADD(other, bound, c.of(2))
					m.FDIV(bound, bound, other)
					m.FMUL(bound, bound, limit)
					m.Copy(other, sign)
					m.BSL(other, r, bound)
					m.Copy(r, other)
				})
			}
			m.store(t, v, p[0])
		})
	})
}
