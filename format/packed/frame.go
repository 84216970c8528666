package packed

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"
)

// Parts of a zstd frame (RFC 8878, 3.1.1), in bytes.
const (
	blockHeader  = 3
	checksumSize = 4
	minPacked    = 4 + 1 + 1 + blockHeader + checksumSize
)

// maxPacked returns the bytes of a frame that holds its contents as they are, in whole blocks but
// for the last, and a little more for writers that try harder.
func maxPacked(length uint32) uint32 {
	return length + length>>8 + 64
}

// frameHeader returns the only header that a frame of a packed file can have: its contents are one
// segment of a known length, and a checksum follows them.
func frameHeader(length uint32) []byte {
	const segment, checksum = 1 << 5, 1 << 2
	b := binary.LittleEndian.AppendUint32(nil, frameMagic)
	switch {
	case length < 1<<8:
		return append(b, segment|checksum, byte(length))
	case length < 1<<8+1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 1<<6|segment|checksum), uint16(length-1<<8))
	}
	return binary.LittleEndian.AppendUint32(append(b, 2<<6|segment|checksum), length)
}

// checkFrame checks that b is the one frame that the table promises, as far as that can be seen
// without decoding it: the decoder would pass over a skippable frame at its end.
func checkFrame(b []byte, f frame) error {
	header := frameHeader(f.length)
	if len(b) < len(header) || string(b[:len(header)]) != string(header) {
		return corrupt("header % x, want % x", b[:min(len(header), len(b))], header)
	}
	at, last := len(header), false
	for !last {
		if len(b)-at < blockHeader {
			return corrupt("a block begins at %d of %d", at, len(b))
		}
		block := int(b[at]) | int(b[at+1])<<8 | int(b[at+2])<<16
		last = block&1 != 0
		size := block >> 3
		if kind := block >> 1 & 3; kind == 1 { // one byte, repeated
			size = 1
		}
		at += blockHeader + size
		if at > len(b)-checksumSize {
			return corrupt("a block ends at %d of %d", at, len(b))
		}
	}
	if at != len(b)-checksumSize {
		return corrupt("its blocks end at %d of %d", at, len(b))
	}
	if sum := binary.LittleEndian.Uint32(b[at:]); sum != f.checksum {
		return corrupt("checksum %08x, in the seek table %08x", sum, f.checksum)
	}
	return nil
}

// newDecoder returns a decoder for frames of at most MaxFrameSize, so many at a time.
func newDecoder(workers int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(MaxFrameSize), zstd.WithDecodeAllCapLimit(true))
}

// newEncoder returns an encoder of frames, so many at a time. The level is the strongest that packs
// int8 and int4 faster than 100 MB/s on a core; the next one takes 4 to 5 times as long for 1 % less.
func newEncoder(workers int) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(workers), zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(frameSize), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(true))
}
