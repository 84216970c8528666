package kernels

import "math"

// fma32 returns a*b+c rounded once to float32, as the FMA instructions do.
//
// The product of two float32 is exact in float64; the sum is not, and rounding it twice (to 53,
// then to 24 bits) is wrong just where the first rounding lands on the middle between two float32
// or the result is subnormal. Only there the slow path is taken.
func fma32(a, b, c float32) float32 {
	product := float64(a) * float64(b)
	sum := product + float64(c)
	if math.Float64bits(sum)&(1<<29-1) == 1<<28 || math.Abs(sum) < 0x1p-126 {
		sum = roundToOdd(product, float64(c), sum)
	}
	return float32(sum)
}

// roundToOdd returns the exact value of product+addend rounded to odd, given its value sum rounded
// to nearest. A conversion to float32 then rounds as if from the exact value: S. Boldo and
// G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
// odd" (2008). The rounding error is recovered by Knuth's two-sum.
func roundToOdd(product, addend, sum float64) float64 {
	other := sum - product
	lost := (product - (sum - other)) + (addend - other)
	bits := math.Float64bits(sum)
	if lost == 0 || bits&1 == 1 {
		return sum
	}
	if (lost > 0) == (sum > 0) {
		return math.Float64frombits(bits + 1)
	}
	return math.Float64frombits(bits - 1)
}

// sum16 adds 16 partial sums in the fixed order that every kernel uses: halves, quarters, pairs.
func sum16(lanes *[16]float32) float32 {
	for width := 8; width > 0; width /= 2 {
		for j := range width {
			lanes[j] += lanes[j+width]
		}
	}
	return lanes[0]
}
