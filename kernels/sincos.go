package kernels

import "math"

// Sine and cosine of the angles of rotary embeddings, made of correctly rounded float64 operations that the compiler
// cannot fuse, so that they give the same bits on every machine, which package math does not promise.
//
// x = n pi/2 + r with |r| <= pi/4. pi/2 is taken in three parts (W. J. Cody and W. Waite, "Software Manual for the
// Elementary Functions", 1980): the first two have 29 bits, so that their products with n, of 24 bits at most, are exact, and
// what follows the third is below 2^-110. sin r and cos r are their Taylor series; what is left out is below 2e-14.
const (
	halfPiHigh   = 0x1.921fb54p0   // the first 29 bits of pi/2
	halfPiMiddle = 0x1.10b4611p-30 // the next ones
	halfPiLow    = math.Pi/2 - halfPiHigh - halfPiMiddle

	// SinCosMax is the largest magnitude that SinCos takes: positions above it are not all float32 themselves.
	SinCosMax = 1 << 24
)

// The coefficients of the series behind the first term: of x^3, x^5, ... and of x^2, x^4, ...
var (
	sinSeries = [...]float64{-1. / 6, 1. / 120, -1. / 5040, 1. / 362880, -1. / 39916800, 1. / 6227020800}
	cosSeries = [...]float64{-1. / 2, 1. / 24, -1. / 720, 1. / 40320, -1. / 3628800, 1. / 479001600, -1. / 87178291200}
)

// SinCos returns the sine and cosine of x, in radians, within 1 ulp; NaN for what is not a number or above SinCosMax
// in magnitude.
func SinCos(x float32) (sin, cos float32) {
	if !(x >= -SinCosMax && x <= SinCosMax) {
		nan := float32(math.NaN())
		return nan, nan
	}
	n := math.RoundToEven(float64(float64(x) * (2 / math.Pi)))
	r := float64(x) - float64(n*halfPiHigh)
	r -= float64(n * halfPiMiddle)
	r -= float64(n * halfPiLow)
	square := float64(r * r)
	s := float32(r + float64(r*series(square, sinSeries[:])))
	c := float32(1 + series(square, cosSeries[:]))
	switch int(n) & 3 {
	case 1:
		return c, -s
	case 2:
		return -s, -c
	case 3:
		return -c, s
	}
	return s, c
}

// series returns c[0] x + c[1] x^2 + ..., from the last term on.
func series(x float64, c []float64) float64 {
	sum := 0.0
	for k := len(c) - 1; k >= 0; k-- {
		sum = float64((sum + c[k]) * x)
	}
	return sum
}
