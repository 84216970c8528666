// Package float16 converts between float32 and IEEE 754 binary16, as numbers of a file and keys and
// values of a cache are kept.
package float16

import "math"

// Max is the largest finite IEEE 754 binary16 value.
const Max = 65504

// FromFloat32 returns the binary16 value nearest to x, ties to even. What is too large becomes
// infinity, NaN stays a (quiet) NaN.
func FromFloat32(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits >> 16 & 0x8000)
	magnitude := bits & 0x7fffffff
	switch {
	case magnitude > 0x7f800000:
		return sign | 0x7e00
	case magnitude >= 0x47800000: // 65536 and more, infinity included
		return sign | 0x7c00
	case magnitude < 0x38800000: // below 2^-14 the result is subnormal: a multiple of 2^-24
		// Adding 0.5 leaves exactly the multiples of 2^-24 in the mantissa, rounded by the adder.
		return sign | uint16(math.Float32bits(math.Float32frombits(magnitude)+0.5)-0x3f000000)
	}
	odd := magnitude >> 13 & 1
	return sign | uint16((magnitude-0x38000000+0xfff+odd)>>13)
}

// ToFloat32 returns the exact value of a binary16.
func ToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent := uint32(h >> 10 & 0x1f)
	mantissa := uint32(h & 0x3ff)
	switch exponent {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(mantissa)*0x1p-24))
	case 0x1f:
		if mantissa != 0 {
			mantissa |= 0x200 // quiet, as VCVTPH2PS returns it
		}
		return math.Float32frombits(sign | 0x7f800000 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | mantissa<<13)
}
