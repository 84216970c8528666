package main

import (
	"math"

	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/arithmetic"
)

// activation is a function between the matrices of a feed-forward block.
type activation struct {
	name      string
	constants []float32 // that it needs
	apply     func(m *machine, c constants, x block)
}

var activations = []activation{
	{"geluTanh", append([]float32{arithmetic.GELUTanh1, arithmetic.GELUTanh3, signBit}, expConstants...), geluTanh},
	{"geluErf", append([]float32{signBit, 1 / math.Sqrt2, arithmetic.ErfP, arithmetic.ErfA1, arithmetic.ErfA2, arithmetic.ErfA3, arithmetic.ErfA4, arithmetic.ErfA5, 0.5}, expConstants...), geluErf},
	{"relu", []float32{0}, relu},
	{"silu", append([]float32{signBit}, expConstants...), silu},
}

// activate generates the function of each element of a row.
func activate(m *machine, f activation) {
	m.function(f.name, "func(x *float32, n int)")
	m.Doc(f.name + m.Name + " is " + f.name + "Reference.")
	x, n := m.Parameter("x"), m.Parameter("n")
	c := m.constants(f.constants...)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		f.apply(m, c, v)
		m.store(k, v, element(x, offset))
	})
	m.End()
}

// gate generates gateReference of a function.
func gate(m *machine, f activation) {
	name := f.name + "Gate"
	m.function(name, "func(gate, up *float32, n int)")
	m.Doc(name + m.Name + " is gateReference for " + f.name + "Reference.")
	gate, up, n := m.Parameter("gate"), m.Parameter("up"), m.Parameter("n")
	c := m.constants(f.constants...)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(gate, offset))
		f.apply(m, c, v)
		for i, r := range m.load(k, element(up, offset)) {
			m.VMULPS(r, v[i], v[i])
		}
		m.store(k, v, element(gate, offset))
	})
	m.End()
}

var signBit = math.Float32frombits(1 << 31)

// geluTanh is geluTanhReference: x / (1 + exp(-u)).
func geluTanh(m *machine, c constants, x block) {
	u := m.block()
	for i := range x {
		square := m.Vector()
		m.VMULPS(x[i], x[i], square)
		m.VMOVUPS(c.of(arithmetic.GELUTanh1), u[i])
		m.VFMADD231PS(c.of(arithmetic.GELUTanh3), square, u[i])
		m.VMULPS(x[i], u[i], u[i])
		m.VXORPS(c.of(signBit), u[i], u[i])
	}
	m.logistic(c, x, u)
}

// geluErf is geluErfReference: x Phi(x) with the tail of Phi by a polynomial and exp(-a^2).
func geluErf(m *machine, c constants, x block) {
	power, tail := m.block(), m.block()
	for i := range x {
		a, t, p := power[i], m.Vector(), tail[i]
		m.VMOVUPS(c.of(signBit), a)
		m.VANDNPS(x[i], a, a)
		m.VMULPS(c.of(1/math.Sqrt2), a, a)
		m.VMOVUPS(c.of(1), t)
		m.VMOVUPS(c.of(arithmetic.ErfP), p)
		m.VFMADD213PS(c.of(1), a, p)
		m.VDIVPS(p, t, t)
		m.VMOVUPS(c.of(arithmetic.ErfA5), p)
		for _, coefficient := range []float32{arithmetic.ErfA4, arithmetic.ErfA3, arithmetic.ErfA2, arithmetic.ErfA1} {
			m.VFMADD213PS(c.of(coefficient), t, p)
		}
		m.VMULPS(t, p, p)
		m.VMULPS(a, a, a)
		m.VXORPS(c.of(signBit), a, a)
	}
	m.exp(c, power, false)
	for i := range x {
		rest := m.Vector()
		m.VMULPS(power[i], tail[i], tail[i])
		m.VMULPS(c.of(0.5), tail[i], tail[i])
		m.zero(rest)
		negative := m.compare(less, x[i], rest)
		m.VMOVUPS(c.of(1), rest)
		m.VSUBPS(tail[i], rest, rest)
		m.replace(negative, tail[i], rest)
		m.VMULPS(rest, x[i], x[i])
	}
}

// relu is reluReference, which keeps NaN and -0.
func relu(m *machine, c constants, x block) {
	for i := range x {
		m.keep(m.compare(notLess, x[i], c.of(0)), x[i])
	}
}

// silu is siluReference: x / (1 + exp(-x)).
func silu(m *machine, c constants, x block) {
	u := m.block()
	for i := range x {
		m.VXORPS(c.of(signBit), x[i], u[i])
	}
	m.logistic(c, x, u)
}

// logistic divides x by 1 + exp u, which it uses up.
func (m *machine) logistic(c constants, x, u block) {
	m.exp(c, u, true)
	for i := range x {
		m.VADDPS(c.of(1), u[i], u[i])
		m.VDIVPS(u[i], x[i], x[i])
	}
}

// softCap generates softCapReference.
func softCap(m *machine) {
	m.function("softCap", "func(x *float32, n int, limit float32)")
	m.Doc("softCap" + m.Name + " is softCapReference.")
	x, n := m.Parameter("x"), m.Parameter("n")
	value := m.XMM()
	m.Load(m.Param("limit"), value)
	limit := m.broadcast(value)
	c := m.constants(append([]float32{signBit, arithmetic.ExpM1Min, 2}, expConstants...)...)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v, bound := m.load(k, element(x, offset)), m.block()
		for i := range v {
			m.VDIVPS(limit, v[i], bound[i])
			m.VORPS(c.of(signBit), bound[i], bound[i])
			m.VADDPS(bound[i], bound[i], bound[i])
		}
		m.expM1(c, bound)
		for i := range v {
			sum := m.Vector()
			m.VADDPS(c.of(2), bound[i], sum)
			m.VDIVPS(sum, bound[i], bound[i])
			m.VMULPS(limit, bound[i], bound[i])
			m.VANDPS(c.of(signBit), v[i], v[i])
			m.VMOVUPS(c.of(signBit), sum)
			m.VANDNPS(bound[i], sum, bound[i])
			m.VORPS(bound[i], v[i], v[i])
		}
		m.store(k, v, element(x, offset))
	})
	m.End()
}
