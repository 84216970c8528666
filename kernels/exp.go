package kernels

import "math"

// The exponential function, one sequence of operations on every path.
//
// x = n ln 2 + r with |r| <= ln 2 / 2, and exp x = 2^n exp r. exp r is 1 + r + r^2 P(r), P of
// degree 4 interpolated at Chebyshev nodes; its relative error is below 1.1e-8, so the result is
// within 1 ulp of the exact value almost everywhere and never more than 2.
const (
	log2E   = 1.44269504088896341 // 1 / ln 2
	ln2High = 0.693359375         // the first bits of ln 2: n*ln2High is exact
	ln2Low  = -2.12194440054690583e-4

	expP0 = 0.49999999999999983
	expP1 = 0.16666576989698692
	expP2 = 0.041666554617213226
	expP3 = 0.00836317905272642
	expP4 = 0.0013926183586787642

	// ExpMin is where results would become subnormal: everything below gives zero.
	ExpMin = -87.33654
	// ExpMax is the largest argument with a finite result: everything above gives +Inf.
	ExpMax = 88.72283
)

// Exp returns e^x, at most 2 ulp from the exact value, 0 below ExpMin and +Inf above ExpMax.
func Exp(x float32) float32 {
	switch {
	case x < ExpMin:
		return 0
	case x > ExpMax:
		return float32(math.Inf(1))
	case x != x:
		return x
	}
	n, r, q := expParts(x)
	p := fma32(q, r, 1)
	return math.Float32frombits(uint32(int32(math.Float32bits(p)) + int32(n)<<23))
}

// expParts returns n and r with x = n ln 2 + r, and q = (exp r - 1) / r.
func expParts(x float32) (n, r, q float32) {
	n = float32(math.RoundToEven(float64(x * float32(log2E))))
	r = fma32(n, -ln2High, x)
	r = fma32(n, -ln2Low, r)
	q = fma32(expP4, r, expP3)
	q = fma32(q, r, expP2)
	q = fma32(q, r, expP1)
	q = fma32(q, r, expP0)
	q = fma32(q, r, 1)
	return n, r, q
}

// expM1Min is below where e^x-1 has become -1.
const expM1Min = -20

// expM1 returns e^x-1 for x <= 0: 2^n (exp r - 1) + (2^n - 1), which keeps the digits of a small x.
func expM1(x float32) float32 {
	if x < expM1Min {
		x = expM1Min
	}
	n, r, q := expParts(x)
	scale := math.Float32frombits(uint32(int32(n)+127) << 23)
	return fma32(scale, float32(q*r), scale-1)
}
