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
	length := m.float(n)

	sum := m.sums(count)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		for i := range count {
			for j, v := range m.load(k, m.row(x, i, offset)) {
				m.VADDPS(v, sum[i][j], sum[i][j])
			}
		}
	})
	mean := make([]reg.VecVirtual, count)
	for i := range count {
		total := m.reduce(sum[i], m.VADDPS)
		m.VDIVSS(length, total, total)
		mean[i] = m.broadcast(total)
	}

	squares := m.sums(count)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		for i := range count {
			v := m.load(k, m.row(x, i, offset))
			for _, r := range v {
				m.VSUBPS(mean[i], r, r)
			}
			m.keepBlock(k, v)
			for j, r := range v {
				m.VFMADD231PS(r, r, squares[i][j])
			}
		}
	})
	inverse := m.inverseRoots(squares, length)

	dst, weight, bias := m.rows("dst", "dstStride", count), m.Parameter("weight"), m.Parameter("bias")
	m.eachBlock(n, func(offset reg.Register, k mask) {
		w := m.load(k, element(weight, offset))
		for i := range count {
			v, result := m.load(k, m.row(x, i, offset)), m.load(k, element(bias, offset))
			for j, r := range v {
				m.VSUBPS(mean[i], r, r)
				m.VMULPS(inverse[i], r, r)
				m.VFMADD231PS(w[j], r, result[j])
			}
			m.store(k, result, m.row(dst, i, offset))
		}
	})
	m.End()
}

// rmsNorm generates rmsNormReference for some rows at once.
func rmsNorm(m *machine, count int) {
	name := fmt.Sprintf("rmsNormx%d", count)
	m.function(name, "func(dst *float32, dstStride int, x *float32, xStride int, weight *float32, n int, epsilon float32)")
	m.Doc(fmt.Sprintf("%s%s is rmsNormReference for n > 0, of %d rows. Strides are in elements.", name, m.Name, count))
	x, n := m.rows("x", "xStride", count), m.Parameter("n")
	length := m.float(n)

	squares := m.sums(count)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		for i := range count {
			for j, r := range m.load(k, m.row(x, i, offset)) {
				m.VFMADD231PS(r, r, squares[i][j])
			}
		}
	})
	inverse := m.inverseRoots(squares, length)

	dst, weight := m.rows("dst", "dstStride", count), m.Parameter("weight")
	m.eachBlock(n, func(offset reg.Register, k mask) {
		w := m.load(k, element(weight, offset))
		for i := range count {
			v := m.load(k, m.row(x, i, offset))
			for j, r := range v {
				m.VMULPS(inverse[i], r, r)
				m.VMULPS(w[j], r, r)
			}
			m.store(k, v, m.row(dst, i, offset))
		}
	})
	m.End()
}

// row returns the operand at an offset in bytes in one of several rows.
func (m *machine) row(r rows, i int, offset reg.Register) operand.Mem {
	if i == 0 {
		return element(r.base, offset)
	}
	next := m.GP64()
	m.LEAQ(r.at(i, 0), next)
	return element(next, offset)
}

// float returns a number as a float32.
func (m *machine) float(n reg.Register) reg.VecVirtual {
	x := m.XMM()
	m.VXORPS(x, x, x)
	m.VCVTSI2SSQ(n, x, x)
	return x
}

// sums returns blocks of zeros, one for each of several rows.
func (m *machine) sums(count int) []block {
	sums := make([]block, count)
	for i := range sums {
		sums[i] = m.block()
		m.zero(sums[i]...)
	}
	return sums
}

// inverseRoots returns, in all lanes, 1/sqrt(sum/length+epsilon) for each block of partial sums. The blocks are used up.
func (m *machine) inverseRoots(sums []block, length reg.Register) []reg.VecVirtual {
	epsilon, one := m.XMM(), m.XMM()
	m.Load(m.Param("epsilon"), epsilon)
	m.VMOVSS(m.word(math.Float32bits(1)), one)
	inverse := make([]reg.VecVirtual, len(sums))
	for i, sum := range sums {
		variance, quotient := m.reduce(sum, m.VADDPS), m.XMM()
		m.VDIVSS(length, variance, variance)
		m.VADDSS(epsilon, variance, variance)
		m.VSQRTSS(variance, variance, variance)
		m.VDIVSS(variance, one, quotient)
		inverse[i] = m.broadcast(quotient)
	}
	return inverse
}

// rotate generates rotateReference.
func rotate(m *machine) {
	m.function("rotate", "func(x, cos, sin *float32, half int)")
	m.Doc("rotate" + m.Name + " is rotateReference.")
	low, cos, sin, half := m.Parameter("x"), m.Parameter("cos"), m.Parameter("sin"), m.Parameter("half")
	high := m.GP64()
	m.LEAQ(operand.Mem{Base: low, Index: half, Scale: 4}, high)
	m.eachBlock(half, func(offset reg.Register, k mask) {
		a, b := m.load(k, element(low, offset)), m.load(k, element(high, offset))
		c, s := m.load(k, element(cos, offset)), m.load(k, element(sin, offset))
		x, y := m.block(), m.block()
		for i := range x {
			m.VMULPS(c[i], a[i], x[i])
			m.VMULPS(c[i], b[i], y[i])
			m.VFNMADD231PS(s[i], b[i], x[i])
			m.VFMADD231PS(s[i], a[i], y[i])
		}
		m.store(k, x, element(low, offset))
		m.store(k, y, element(high, offset))
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
