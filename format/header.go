package format

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// The version of the specification that this package writes. It reads every file of the same
// major version.
const (
	VersionMajor  = 1
	VersionMinor  = 1
	Specification = "1.1"
)

const (
	headerSize       = 64
	headerSummedSize = headerSize - 8 // all of the header before its own checksum
)

// magic cannot survive a transfer as text: the first byte loses its top bit, and one of the two
// kinds of line ending or the end-of-file character is changed. The idea is PNG's.
var magic = [8]byte{0x89, 'T', 'T', 'I', '\r', '\n', 0x1a, '\n'}

// header is the first 64 bytes of a file, field by field.
type header struct {
	Magic         [8]byte
	Major, Minor  uint32
	FileSize      uint64
	IndexOffset   uint64
	IndexLength   uint64
	IndexChecksum uint64 // XXH64 of the index
	Reserved      uint64
	Checksum      uint64 // XXH64 of the 56 bytes before it
}

// newHeader describes a file of this version.
func newHeader(fileSize int64, index []byte) header {
	h := header{
		Magic:         magic,
		Major:         VersionMajor,
		Minor:         VersionMinor,
		FileSize:      uint64(fileSize),
		IndexOffset:   headerSize,
		IndexLength:   uint64(len(index)),
		IndexChecksum: xxhash.Sum64(index),
	}
	h.Checksum = h.sum()
	return h
}

// decodeHeader reads the fields without judging them; b holds at least headerSize bytes.
func decodeHeader(b []byte) (h header) {
	if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
		panic(err) // only for a type or a length that is wrong in this program
	}
	return h
}

func (h header) encode() []byte {
	b, err := binary.Append(make([]byte, 0, headerSize), binary.LittleEndian, h)
	if err != nil {
		panic(err) // only for a type that is wrong in this program
	}
	return b
}

func (h header) sum() uint64 { return xxhash.Sum64(h.encode()[:headerSummedSize]) }

// Validate checks every field against the length of the whole file. The magic comes first, so that
// a foreign file is called that; the checksum comes second, so that damage is never mistaken for
// a newer version.
func (h header) Validate(fileSize int64) error {
	switch {
	case h.Magic != magic && bytes.HasPrefix(h.Magic[:], magic[:4]):
		return fmt.Errorf("%w: its line endings were changed, as by a transfer in text mode", ErrNotTTI)
	case h.Magic != magic:
		return fmt.Errorf("%w: it begins with % x, want % x", ErrNotTTI, h.Magic, magic)
	case h.Checksum != h.sum():
		return fmt.Errorf("%w: header: %016x, want %016x", ErrChecksum, h.sum(), h.Checksum)
	case h.Major != VersionMajor:
		return fmt.Errorf("%w: format version %d.%d, want %d.x", ErrUnsupported, h.Major, h.Minor, VersionMajor)
	case h.FileSize > uint64(fileSize):
		return fmt.Errorf("%w: %d bytes, want %d", ErrTruncated, fileSize, h.FileSize)
	case h.FileSize < uint64(fileSize):
		return fmt.Errorf("%w: %d bytes, want %d", ErrCorrupt, fileSize, h.FileSize)
	case h.Reserved != 0:
		return fmt.Errorf("%w: header: reserved bytes are %#x, want 0", ErrCorrupt, h.Reserved)
	case h.IndexOffset != headerSize:
		return fmt.Errorf("%w: header: index at %d, want %d", ErrCorrupt, h.IndexOffset, headerSize)
	case h.IndexLength == 0 || h.IndexLength%recordSize != 0 || h.IndexLength > MaxSections*recordSize:
		return fmt.Errorf("%w: header: index of %d bytes, want 1 to %d records of %d", ErrCorrupt, h.IndexLength, MaxSections, recordSize)
	case h.IndexLength > h.FileSize-headerSize:
		return fmt.Errorf("%w: header: index of %d bytes in a file of %d", ErrCorrupt, h.IndexLength, h.FileSize)
	}
	return nil
}
