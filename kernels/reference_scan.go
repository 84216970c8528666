package kernels

import (
	"encoding/binary"
	"math"
)

// Kernels that read a row or a section and change nothing.

// argMaxReference returns the index of the first of the largest elements, NaN left out, and whether
// there is a NaN. The index of a row of nothing but NaN is 0.
func argMaxReference(x []float32) (index int, nan bool) {
	found := false
	for i, v := range x {
		switch {
		case v != v:
			nan = true
		case !found || v > x[index]:
			index, found = i, true
		}
	}
	return index, nan
}

// thresholdReference returns a number that at least k elements of x reach: the largest with 16 significant
// bits that is reached by k of the maxima of those elements whose index is the same modulo MaxThreshold, NaN left
// out; negative infinity if there is none. So a quarter more elements reach it than were asked for, or less, as long
// as k is small beside MaxThreshold and large elements are anywhere.
func thresholdReference(x []float32, k int) float32 {
	var maxima [MaxThreshold]float32
	for i := range maxima {
		maxima[i] = float32(math.Inf(-1))
	}
	for i, v := range x {
		if v > maxima[i%MaxThreshold] {
			maxima[i%MaxThreshold] = v
		}
	}
	place := uint32(0)
	for bit := uint32(1 << 31); bit >= 1<<16; bit >>= 1 {
		if reached(maxima[:], numberAt(place|bit)) >= k {
			place |= bit
		}
	}
	if place == 0 {
		return float32(math.Inf(-1))
	}
	return numberAt(place)
}

// numberAt returns the number at a place in the order of all, from the negative NaN to the positive ones.
func numberAt(place uint32) float32 {
	bits := int32(place ^ 1<<31)
	return math.Float32frombits(uint32(bits ^ int32(uint32(bits>>31)>>1)))
}

// reached returns how many elements reach a threshold.
func reached(x []float32, threshold float32) int {
	larger, equal := countReference(x, threshold)
	return larger + equal
}

// collectReference writes the indices of the elements that reach the threshold, in ascending order, and returns
// how many there are.
func collectReference(indices []int32, x []float32, threshold float32) int {
	n := 0
	for i, v := range x {
		if v >= threshold {
			indices[n] = int32(i)
			n++
		}
	}
	return n
}

// countReference returns how many elements are larger than a value, and how many equal to it.
func countReference(x []float32, value float32) (larger, equal int) {
	for _, v := range x {
		switch {
		case v > value:
			larger++
		case v == value:
			equal++
		}
	}
	return larger, equal
}

// readReference returns the exclusive or of the little-endian 8-byte words of b, the last one filled
// up with zeros.
func readReference(b []byte) uint64 {
	var fold uint64
	for ; len(b) >= 8; b = b[8:] {
		fold ^= binary.LittleEndian.Uint64(b)
	}
	var rest [8]byte
	copy(rest[:], b)
	return fold ^ binary.LittleEndian.Uint64(rest[:])
}
