package kernels

import "encoding/binary"

// Kernels that read a row or a section once and answer with a number.

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
