package quant

import (
	"math"
	"math/bits"

	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/panel"
)

// Scales are searched on a grid, not just set to max|w| over the largest code: for a group of 64 the
// best scale often clips the largest weight a little, and of the two signs of an int4 scale one
// puts that weight at the end with the extra code, -8. A candidate is written as its step, the
// real-valued code that the weight of largest magnitude would get.

// int4Steps are the candidates for a group. A negative step is a scale of the sign opposite to the
// largest weight's. The first ones clip nothing; Gaussian groups choose mostly between 7 and 9, and
// a group that is all but one weight small would clip even more.
var int4Steps = [16]float32{
	-7, -7.4, -7.75, -8.05, -8.35, -8.7, -9.1, -9.7,
	7, 7.3, 7.6, 7.9, 8.25, 8.65, 9.1, 9.7,
}

// int4Refinements are the distances from the best of these at which more candidates lie. They bring what
// trying every tenth of a step from 7 to 10 would.
var int4Refinements = [2]float32{0.1, 0.2}

// int8Steps are the candidates for a row. Clipping one weight by a part t of its size costs (127 t)^2
// squared steps, the smaller step gains n t / 6 of them in a row of n: the best t is n / 193,548, and
// that only where no other weight is near the largest. The second candidate clips nothing.
var int8Steps = [4]float32{127, 127.49, 128.5, 130}

const (
	// rounder, added to a float32 below 2^22 in magnitude, leaves the nearest integer, ties to
	// even, in the low bits of the sum.
	rounder = 3 << 22

	// smallestRow is the smallest largest magnitude of an int8 row that is not taken for zero: an
	// error of at most 2^-120 for a weight, and the limit that activations have too.
	smallestRow = 0x1p-120
)

// int4Values are the codes -8 to 7 as numbers, by the low six bits of an integer from -32 to 31:
// what is out of range is clipped.
var int4Values = func() (values [64]float32) {
	for i := range values {
		values[i] = float32(min(max(int(int8(i<<2)>>2), -8), 7))
	}
	return values
}()

// int4Value returns the nearest code to x as a number, for |x| < 31.
func int4Value(x float32) float32 { return int4Values[math.Float32bits(x+rounder)&63] }

// int4Code returns the nearest code to x as it is stored, for |x| < 31.
func int4Code(x float32) uint32 { return uint32(int32(int4Value(x)) + panel.Int4Offset) }

// uniform is the importance of weights of which nothing is known.
var uniform = func() (importance [groups]float32) {
	for i := range importance {
		importance[i] = 1
	}
	return importance
}()

// searchInt4 returns the binary16 scale that a group of weights, at most 64, should have, so that the
// squared error is small; never larger than with max|w|/7. importance holds a factor for the squared
// error of each weight. A group that no scale can serve has scale 0.
func searchInt4(group, importance *[groups]float32) uint16 {
	largest := largestOf(group[:])
	if largest == 0 {
		return 0
	}
	var weighted [groups]float32
	for i, w := range group {
		weighted[i] = w * importance[i]
	}
	// For given codes q the best scale is <w,q>/<q,q> and leaves <w,w> - <w,q>^2/<q,q>.
	var best, scale, bestStep float32
	try := func(step0, step1 float32) {
		product0, square0, product1, square1 := correlateInt4(group, &weighted, importance, step0/largest, step1/largest)
		if gain := float32(product0 * (product0 / square0)); gain > best {
			best, scale, bestStep = gain, product0/square0, step0
		}
		if gain := float32(product1 * (product1 / square1)); gain > best {
			best, scale, bestStep = gain, product1/square1, step1
		}
	}
	for c := 0; c < len(int4Steps); c += 2 {
		try(int4Steps[c], int4Steps[c+1])
	}
	center := bestStep
	for _, d := range int4Refinements {
		try(center-d, center+d)
	}
	plain := float16.FromFloat32(min(float32(math.Abs(float64(largest)))/7, float16.Max))
	found := float16.FromFloat32(min(max(scale, -float16.Max), float16.Max))
	if errorInt4(group, importance, found) < errorInt4(group, importance, plain) {
		return found
	}
	return plain
}

// correlateInt4 returns <w,q> and <q,q> for the codes q of a group under two scales, given by their
// inverses. Two at a time keep the adder busy: each sum is a chain.
func correlateInt4(group, weighted, importance *[groups]float32, inverse0, inverse1 float32) (product0, square0, product1, square1 float32) {
	for i, w := range group {
		q0 := int4Value(float32(w * inverse0))
		q1 := int4Value(float32(w * inverse1))
		product0 += float32(weighted[i] * q0)
		product1 += float32(weighted[i] * q1)
		square0 += float32(importance[i] * float32(q0*q0))
		square1 += float32(importance[i] * float32(q1*q1))
	}
	return
}

// errorInt4 returns the weighted squared error of a group under a stored scale.
func errorInt4(group, importance *[groups]float32, stored uint16) float32 {
	scale := float16.ToFloat32(stored)
	inverse := inverseOf(scale)
	var sum float32
	for i, w := range group {
		e := w - float32(int4Value(float32(w*inverse))*scale)
		sum += float32(float32(e*e) * importance[i])
	}
	return sum
}

// inverseOf returns 1/scale, 0 for 0.
func inverseOf(scale float32) float32 {
	if scale == 0 {
		return 0
	}
	return 1 / scale
}

// searchInt8 returns the scale that a row of weights should have, so that the squared error is
// small; never larger than with max|w|/127. For a row of (nearly) zeros it is 0.
func searchInt8(row []float32) float32 {
	largest := float32(math.Abs(float64(largestOf(row))))
	if largest < smallestRow {
		return 0
	}
	best, least := float32(0), float32(math.MaxFloat32)
	for _, step := range int8Steps {
		if e := errorInt8(row, step/largest) / (step * step); e < least {
			best, least = largest/step, e
		}
	}
	return best
}

// int8Value returns the nearest code to x as a number.
func int8Value(x float32) float32 {
	nearest := x + rounder - rounder
	switch {
	case nearest > 127:
		return 127
	case nearest < -127:
		return -127
	}
	return nearest
}

// errorInt8 returns the squared error of a row, whose length is a multiple of 4, under the scale
// with the given inverse, in units of the scale. Four sums keep the adder busy: each is a chain.
func errorInt8(row []float32, inverse float32) float32 {
	var sum0, sum1, sum2, sum3 float32
	for ; len(row) >= 4; row = row[4:] {
		x0, x1, x2, x3 := float32(row[0]*inverse), float32(row[1]*inverse), float32(row[2]*inverse), float32(row[3]*inverse)
		e0, e1, e2, e3 := x0-int8Value(x0), x1-int8Value(x1), x2-int8Value(x2), x3-int8Value(x3)
		sum0 += float32(e0 * e0)
		sum1 += float32(e1 * e1)
		sum2 += float32(e2 * e2)
		sum3 += float32(e3 * e3)
	}
	return sum0 + sum1 + sum2 + sum3
}

// largestOf returns the value of largest magnitude, with its sign; values are finite.
func largestOf(values []float32) float32 {
	var largest uint32 // the magnitude's bits, which order as the numbers do, above the sign
	for _, v := range values {
		largest = max(largest, bits.RotateLeft32(math.Float32bits(v), 1))
	}
	return math.Float32frombits(bits.RotateLeft32(largest, -1))
}
