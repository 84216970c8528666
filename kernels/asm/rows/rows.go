package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// element returns the operand at an offset in bytes from a pointer.
func element(pointer, offset reg.Register) operand.Mem {
	return operand.Mem{Base: pointer, Index: offset, Scale: 1}
}

// layerNorm generates layerNormReference for some rows at once. For one row each step waits for the one before; meanwhile
// the CPU works on the others.
func layerNorm(m *machine, count int) {
	name := fmt.Sprintf("layerNormx%d", count)
	m.function(name, "func(dst *float32, dstStride int, x *float32, xStride int, weight, bias *float32, n int, epsilon float32)")
	m.Doc(fmt.Sprintf("%s%s is layerNormReference for n > 0, of %d rows. Strides are in elements.", name, m.Name, count))
	x, n := m.rows("x", "xStride", count), m.Parameter("n")
	row := func(r rows, i int, offset reg.Register) operand.Mem {
		if i == 0 {
			return element(r.base, offset)
		}
		next := m.GP64()
		m.LEAQ(r.at(i, 0), next)
		return element(next, offset)
	}
	each := func(f func(i int)) {
		for i := range count {
			f(i)
		}
	}
	blocks := func() []block {
		b := make([]block, count)
		each(func(i int) {
			b[i] = m.block()
			m.zero(b[i]...)
		})
		return b
	}

	length := m.XMM()
	m.VXORPS(length, length, length)
	m.VCVTSI2SSQ(n, length, length)

	sum := blocks()
	m.eachBlock(n, func(offset reg.Register, k mask) {
		each(func(i int) {
			for j, v := range m.load(k, row(x, i, offset)) {
				m.VADDPS(v, sum[i][j], sum[i][j])
			}
		})
	})
	mean, inverse := make([]reg.VecVirtual, count), make([]reg.VecVirtual, count)
	each(func(i int) {
		total := m.reduce(sum[i], m.VADDPS)
		m.VDIVSS(length, total, total)
		mean[i] = m.broadcast(total)
	})

	squares := blocks()
	m.eachBlock(n, func(offset reg.Register, k mask) {
		each(func(i int) {
			v := m.load(k, row(x, i, offset))
			for _, r := range v {
				m.VSUBPS(mean[i], r, r)
			}
			m.keepBlock(k, v)
			for j, r := range v {
				m.VFMADD231PS(r, r, squares[i][j])
			}
		})
	})
	epsilon, one := m.XMM(), m.XMM()
	m.Load(m.Param("epsilon"), epsilon)
	m.VMOVSS(m.word(math.Float32bits(1)), one)
	each(func(i int) {
		variance, quotient := m.reduce(squares[i], m.VADDPS), m.XMM()
		m.VDIVSS(length, variance, variance)
		m.VADDSS(epsilon, variance, variance)
		m.VSQRTSS(variance, variance, variance)
		m.VDIVSS(variance, one, quotient)
		inverse[i] = m.broadcast(quotient)
	})

	dst, weight, bias := m.rows("dst", "dstStride", count), m.Parameter("weight"), m.Parameter("bias")
	m.eachBlock(n, func(offset reg.Register, k mask) {
		w := m.load(k, element(weight, offset))
		each(func(i int) {
			v, result := m.load(k, row(x, i, offset)), m.load(k, element(bias, offset))
			for j, r := range v {
				m.VSUBPS(mean[i], r, r)
				m.VMULPS(inverse[i], r, r)
				m.VFMADD231PS(w[j], r, result[j])
			}
			m.store(k, result, row(dst, i, offset))
		})
	})
	m.End()
}

// add generates addReference.
func add(m *machine) {
	m.function("add", "func(dst, x *float32, n int)")
	m.Doc("add" + m.Name + " is addReference.")
	dst, x, n := m.Parameter("dst"), m.Parameter("x"), m.Parameter("n")
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(dst, offset))
		addend := m.load(k, element(x, offset))
		for i := range v {
			m.VADDPS(addend[i], v[i], v[i])
		}
		m.store(k, v, element(dst, offset))
	})
	m.End()
}

// scale generates scaleReference.
func scale(m *machine) {
	m.function("scale", "func(dst, x *float32, n int, factor float32)")
	m.Doc("scale" + m.Name + " is scaleReference.")
	dst, x, n := m.Parameter("dst"), m.Parameter("x"), m.Parameter("n")
	value := m.XMM()
	m.Load(m.Param("factor"), value)
	factor := m.broadcast(value)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		for i := range v {
			m.VMULPS(factor, v[i], v[i])
		}
		m.store(k, v, element(dst, offset))
	})
	m.End()
}

// elementwise generates a function that replaces each element of a row. body does so with a block; values are the constants
// that it needs.
func elementwise(m *machine, name string, values []float32, body func(c constants, x block)) {
	m.function(name, "func(x *float32, n int)")
	m.Doc(name + m.Name + " is " + name + "Reference.")
	x, n := m.Parameter("x"), m.Parameter("n")
	c := m.constants(values...)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		body(c, v)
		m.store(k, v, element(x, offset))
	})
	m.End()
}

var signBit = math.Float32frombits(1 << 31)

// The constants of reference_rows.go in package kernels.
const (
	geluTanh1 = 1.5957691216057308
	geluTanh3 = geluTanh1 * 0.044715

	erfP  = 0.3275911
	erfA1 = 0.254829592
	erfA2 = -0.284496736
	erfA3 = 1.421413741
	erfA4 = -1.453152027
	erfA5 = 1.061405429
)

// geluTanh generates geluTanhReference: x / (1 + exp(-u)).
func geluTanh(m *machine) {
	values := append([]float32{geluTanh1, geluTanh3, signBit}, expConstants...)
	elementwise(m, "geluTanh", values, func(c constants, x block) {
		u := m.block()
		for i := range x {
			square := m.Vector()
			m.VMULPS(x[i], x[i], square)
			m.VMOVUPS(c.of(geluTanh1), u[i])
			m.VFMADD231PS(c.of(geluTanh3), square, u[i])
			m.VMULPS(x[i], u[i], u[i])
			m.VXORPS(c.of(signBit), u[i], u[i])
		}
		m.exp(c, u, true)
		for i := range x {
			m.VADDPS(c.of(1), u[i], u[i])
			m.VDIVPS(u[i], x[i], x[i])
		}
	})
}

// geluErf generates geluErfReference: x Phi(x) with the tail of Phi by a polynomial and exp(-a^2).
func geluErf(m *machine) {
	values := append([]float32{signBit, 1 / math.Sqrt2, erfP, erfA1, erfA2, erfA3, erfA4, erfA5, 0.5}, expConstants...)
	elementwise(m, "geluErf", values, func(c constants, x block) {
		power, tail := m.block(), m.block()
		for i := range x {
			a, t, p := power[i], m.Vector(), tail[i]
			m.VMOVUPS(c.of(signBit), a)
			m.VANDNPS(x[i], a, a)
			m.VMULPS(c.of(1/math.Sqrt2), a, a)
			m.VMOVUPS(c.of(1), t)
			m.VMOVUPS(c.of(erfP), p)
			m.VFMADD213PS(c.of(1), a, p)
			m.VDIVPS(p, t, t)
			m.VMOVUPS(c.of(erfA5), p)
			for _, coefficient := range []float32{erfA4, erfA3, erfA2, erfA1} {
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
	})
}

// relu generates reluReference, which keeps NaN and -0.
func relu(m *machine) {
	elementwise(m, "relu", []float32{0}, func(c constants, x block) {
		for i := range x {
			m.keep(m.compare(notLess, x[i], c.of(0)), x[i])
		}
	})
}
