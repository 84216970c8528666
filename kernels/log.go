package kernels

import "math"

// Log returns the natural logarithm of a positive, finite, normal x. It is made of correctly
// rounded float64 operations that the compiler cannot fuse, so that it gives the same bits on every
// machine, which math.Log does not promise.
//
// x = 2^e m with m in [sqrt 1/2, sqrt 2), and log m = 2 artanh s for s = (m-1)/(m+1), |s| < 0.172.
func Log(x float64) float64 {
	m, e := math.Frexp(x) // m in [1/2, 1)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	s := (m - 1) / (m + 1)
	square := float64(s * s)
	series := 0.0
	for k := 21; k >= 3; k -= 2 { // artanh s = s + s^3/3 + s^5/5 + ...
		series = float64((series + 1/float64(k)) * square)
	}
	return float64(float64(e)*math.Ln2) + float64(2*(s+float64(s*series)))
}
