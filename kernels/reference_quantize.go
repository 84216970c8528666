package kernels

import "math"

// minQuantized is the smallest largest magnitude of a group that is quantized at all. Below it
// 127/m would overflow; such a group counts as zero, an error of at most 2^-120 per value.
const minQuantized = 0x1p-120

// scaleInt8 returns the scale of a group of values quantized to int8 and the factor that makes
// codes of them: m/127 and 127/m for m = max|x|. A group of zeros gives zeros. A group that holds a
// NaN or an infinity gives codes of zero and a NaN scale, so that every number it feeds is NaN.
func scaleInt8(x []float32) (scale, inverse float32) {
	var magnitude uint32 // as bits, where NaN is larger than infinity and that larger than all else
	for _, v := range x {
		magnitude = max(magnitude, math.Float32bits(v)&^(1<<31))
	}
	m := math.Float32frombits(magnitude)
	switch {
	case magnitude >= 0x7f800000:
		return float32(math.NaN()), 0
	case m < minQuantized:
		return 0, 0
	}
	return m / 127, 127 / m
}

// codeInt8 returns v*inverse rounded to the nearest integer, ties to even; 0 where inverse is 0.
func codeInt8(v, inverse float32) int8 {
	if inverse == 0 {
		return 0
	}
	return int8(math.RoundToEven(float64(v * inverse)))
}

// quantizeReference quantizes len(scales) groups of 64 values to codes, scales and the sums of the
// codes.
func quantizeReference(codes []int8, scales []float32, sums []int32, x []float32) {
	for g := range scales {
		group, out := x[g*groupColumns:][:groupColumns], codes[g*groupColumns:][:groupColumns]
		scale, inverse := scaleInt8(group)
		var sum int32
		for i, v := range group {
			out[i] = codeInt8(v, inverse)
			sum += int32(out[i])
		}
		scales[g], sums[g] = scale, sum
	}
}
