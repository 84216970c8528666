package main

import (
	"fmt"

	"github.com/tti-llm/tti/kernels/asm/arm64"
)

// normRows is how many rows a norm takes at once, at most. For one row each step waits for the one before; meanwhile the CPU
// works on the others.
const normRows = 2

// rowPointers returns where each of count rows begins, given the names of the first one and of the stride in elements.
func (m *writer) rowPointers(base, stride string, count int) []arm64.Register {
	p := []arm64.Register{m.Parameter(base)}
	if count == 1 {
		return p
	}
	for range count - 1 {
		p = append(p, m.Register())
	}
	m.Scope(func() {
		distance := m.Parameter(stride)
		for i := 1; i < count; i++ {
			m.Go("ADD %v<<2, %v, %v", distance, p[i-1], p[i])
		}
	})
	return p
}

// layerNorm generates layerNormReference for some rows at once.
func layerNorm(file *arm64.File, count int) {
	function(file, fmt.Sprintf("layerNormx%d", count),
		"func(dst *float32, dstStride int, x *float32, xStride int, weight, bias *float32, n int, epsilon float32)",
		fmt.Sprintf("is layerNormReference for n > 0, of %d rows. Strides are in elements.", count),
		func(m *writer) {
			x, n := m.rowPointers("x", "xStride", count), m.Parameter("n")
			sum := m.sums(count)
			m.eachBlock(n, x, func(p []arm64.Register, t *tail) {
				for i := range count {
					m.Scope(func() {
						for j, v := range m.load(t, p[i]) {
							m.FADD(sum[i][j], sum[i][j], v)
						}
					})
				}
			})
			mean := make([]arm64.Vector, count)
			for i := range count {
				mean[i] = m.reduce(sum[i], m.FADD)
				m.mean(mean[i], n)
				m.DUP(mean[i], mean[i], 0)
			}
			squares := m.sums(count)
			m.eachBlock(n, x, func(p []arm64.Register, t *tail) {
				for i := range count {
					m.Scope(func() {
						v := m.load(t, p[i])
						for _, r := range v {
							m.FSUB(r, r, mean[i])
						}
						m.keep(t, v)
						for j, r := range v {
							m.FMLA(squares[i][j], r, r)
						}
					})
				}
			})
			inverse := m.inverseRoots(squares, n)
			dst, weight, bias := m.rowPointers("dst", "dstStride", count), m.Parameter("weight"), m.Parameter("bias")
			rows := append(append([]arm64.Register{weight, bias}, x...), dst...)
			m.eachBlock(n, rows, func(p []arm64.Register, t *tail) {
				x, dst := p[2:2+count], p[2+count:]
				w := m.load(t, p[0])
				for i := range count {
					m.Scope(func() {
						result := m.load(t, p[1])
						for j, v := range m.load(t, x[i]) {
							m.FSUB(v, v, mean[i])
							m.FMUL(v, v, inverse[i])
							m.FMLA(result[j], v, w[j])
						}
						m.store(t, result, dst[i])
					})
				}
			})
		})
}

// rmsNorm generates rmsNormReference for some rows at once.
func rmsNorm(file *arm64.File, count int) {
	function(file, fmt.Sprintf("rmsNormx%d", count),
		"func(dst *float32, dstStride int, x *float32, xStride int, weight *float32, n int, epsilon float32)",
		fmt.Sprintf("is rmsNormReference for n > 0, of %d rows. Strides are in elements.", count),
		func(m *writer) {
			x, n := m.rowPointers("x", "xStride", count), m.Parameter("n")
			squares := m.sums(count)
			m.eachBlock(n, x, func(p []arm64.Register, t *tail) {
				for i := range count {
					m.Scope(func() {
						for j, v := range m.load(t, p[i]) {
							m.FMLA(squares[i][j], v, v)
						}
					})
				}
			})
			inverse := m.inverseRoots(squares, n)
			dst, weight := m.rowPointers("dst", "dstStride", count), m.Parameter("weight")
			rows := append(append([]arm64.Register{weight}, x...), dst...)
			m.eachBlock(n, rows, func(p []arm64.Register, t *tail) {
				x, dst := p[1:1+count], p[1+count:]
				w := m.load(t, p[0])
				for i := range count {
					m.Scope(func() {
						v := m.load(t, x[i])
						for j, r := range v {
							m.FMUL(r, r, inverse[i])
							m.FMUL(r, r, w[j])
						}
						m.store(t, v, dst[i])
					})
				}
			})
		})
}

// sums returns blocks of zeros, one for each of several rows.
func (m *writer) sums(count int) []block {
	sums := make([]block, count)
	for i := range sums {
		sums[i] = m.zeros()
	}
	return sums
}

// mean divides the lowest lane of a sum by the number of elements.
func (m *writer) mean(sum arm64.Vector, n arm64.Register) {
	m.Scope(func() {
		length := m.Vector()
		m.Go("SCVTFS %v, F%d", n, length)
		m.Go("FDIVS F%d, F%d, F%d", length, sum, sum)
	})
}

// inverseRoots returns, in all lanes, 1/sqrt(sum/n+epsilon) for each block of partial sums. The blocks are used up.
func (m *writer) inverseRoots(sums []block, n arm64.Register) []arm64.Vector {
	epsilon, one := m.parameter("epsilon"), m.number(1)
	inverse := make([]arm64.Vector, len(sums))
	for i, sum := range sums {
		v := m.reduce(sum, m.FADD)
		m.mean(v, n)
		m.Go("FADDS F%d, F%d, F%d", epsilon, v, v)
		m.Go("FSQRTS F%d, F%d", v, v)
		m.Go("FDIVS F%d, F%d, F%d", v, one, v)
		m.DUP(v, v, 0)
		inverse[i] = v
	}
	return inverse
}

// rotate generates rotateReference.
func rotate(file *arm64.File) {
	function(file, "rotate", "func(x, cos, sin *float32, half int)", "is rotateReference.", func(m *writer) {
		low, cos, sin, half := m.Parameter("x"), m.Parameter("cos"), m.Parameter("sin"), m.Parameter("half")
		high := m.Register()
		m.Go("ADD %v<<2, %v, %v", half, low, high)
		m.eachBlock(half, []arm64.Register{low, high, cos, sin}, func(p []arm64.Register, t *tail) {
			a, b, c, s := m.load(t, p[0]), m.load(t, p[1]), m.load(t, p[2]), m.load(t, p[3])
			x, y := m.block(), c
			for i := range x {
				m.FMUL(x[i], a[i], c[i])
				m.FMUL(y[i], b[i], c[i])
				m.FMLS(x[i], b[i], s[i])
				m.FMLA(y[i], a[i], s[i])
			}
			m.store(t, x, p[0])
			m.store(t, y, p[1])
		})
	})
}

// add generates addReference.
func add(file *arm64.File) {
	function(file, "add", "func(dst, x *float32, n int)", "is addReference.", func(m *writer) {
		dst, x, n := m.Parameter("dst"), m.Parameter("x"), m.Parameter("n")
		m.eachBlock(n, []arm64.Register{dst, x}, func(p []arm64.Register, t *tail) {
			sum := m.load(t, p[0])
			for i, v := range m.load(t, p[1]) {
				m.FADD(sum[i], sum[i], v)
			}
			m.store(t, sum, p[0])
		})
	})
}

// scale generates scaleReference.
func scale(file *arm64.File) {
	function(file, "scale", "func(dst, x *float32, n int, factor float32)", "is scaleReference.", func(m *writer) {
		dst, x, n := m.Parameter("dst"), m.Parameter("x"), m.Parameter("n")
		factor := m.parameter("factor")
		m.eachBlock(n, []arm64.Register{dst, x}, func(p []arm64.Register, t *tail) {
			v := m.load(t, p[1])
			for _, r := range v {
				m.FMUL(r, r, factor)
			}
			m.store(t, v, p[0])
		})
	})
}
