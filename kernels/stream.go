package kernels

import "encoding/binary"

const (
	cacheLine = 64
	// streams is how many places Stream reads from in turn: a single ascending read leaves a part of
	// the memory's bandwidth unused.
	streams = 4
)

// Stream reads b once, as fast as plain Go can, and returns a number that depends on every cache
// line of it. The time it takes is the yardstick for kernels that are limited by memory.
func Stream(b []byte) uint64 {
	part := len(b) / streams / cacheLine * cacheLine
	b0, b1, b2, b3 := b[:part], b[part:2*part], b[2*part:3*part], b[3*part:4*part]
	var s0, s1, s2, s3 uint64
	for i := 0; i+8 <= part; i += cacheLine {
		s0 ^= binary.LittleEndian.Uint64(b0[i:])
		s1 ^= binary.LittleEndian.Uint64(b1[i:])
		s2 ^= binary.LittleEndian.Uint64(b2[i:])
		s3 ^= binary.LittleEndian.Uint64(b3[i:])
	}
	for i := streams * part; i+8 <= len(b); i += cacheLine {
		s0 ^= binary.LittleEndian.Uint64(b[i:])
	}
	return s0 ^ s1 ^ s2 ^ s3
}
