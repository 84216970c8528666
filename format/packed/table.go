package packed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/tti-llm/tti/format"
)

// frameSize is how much of a file one frame holds. Larger ones gain less than 0.1 % (measured on
// the fable models, all modes, 256 KiB to 4 MiB), smaller ones are no faster.
const frameSize = 1 << 20

const (
	// MaxFrameSize bounds the contents of a frame, in bytes, and with it the memory that one of a foreign file can ask for.
	MaxFrameSize = 8 << 20
	// MaxRatio bounds what a small packed file can turn into. Weights are packed at 1 to 2;
	// zstd itself would go to 30,000.
	MaxRatio = 1024
)

// The marks of the seekable format and the lengths of its parts, in bytes.
const (
	frameMagic      = 0xFD2FB528
	skippableMagic  = 0x184D2A5E
	seekableMagic   = 0x8F92EAB1
	checksumFlag    = 1 << 7 // of the descriptor; its other bits are 0
	skippableHeader = 8
	entrySize       = 12
	footerSize      = 9
)

// frame is one entry of the table, and where it leads.
type frame struct {
	offset   int64  // in the packed file
	packed   uint32 // bytes there
	length   uint32 // bytes of the .tti file
	checksum uint32 // the lower half of these bytes' XXH64
}

// table lists the frames of a packed file. All are of one length, the last one excepted.
type table struct {
	frames []frame
	total  int64 // bytes of the .tti file
}

// add notes the frame that follows the ones before.
func (t *table) add(packed, length, checksum uint32) {
	t.frames = append(t.frames, frame{t.end(), packed, length, checksum})
	t.total += int64(length)
}

// end returns where the frames end in the packed file.
func (t *table) end() int64 {
	if len(t.frames) == 0 {
		return 0
	}
	last := t.frames[len(t.frames)-1]
	return last.offset + int64(last.packed)
}

// encode returns the table as the skippable frame at the end of a packed file.
func (t *table) encode() ([]byte, error) {
	content := int64(len(t.frames))*entrySize + footerSize
	if content > math.MaxUint32 {
		return nil, fmt.Errorf("%d frames are too many for a seek table", len(t.frames))
	}
	b := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(content))
	for _, f := range t.frames {
		b = binary.LittleEndian.AppendUint32(b, f.packed)
		b = binary.LittleEndian.AppendUint32(b, f.length)
		b = binary.LittleEndian.AppendUint32(b, f.checksum)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(t.frames)))
	b = append(b, checksumFlag)
	return binary.LittleEndian.AppendUint32(b, seekableMagic), nil
}

// readTable finds the table of a packed file of the given size and checks all of it. The error
// wraps one of format's sentinels if the contents are at fault.
func readTable(r io.ReaderAt, size int64) (*table, error) {
	start, err := readBytes(r, 0, min(size, 4))
	if err != nil {
		return nil, err
	}
	if want := binary.LittleEndian.AppendUint32(nil, frameMagic); !bytes.HasPrefix(want, start) {
		return nil, fmt.Errorf("%w: it begins with % x, want % x of a packed one", format.ErrNotTTI, start, want)
	}
	footer, err := readBytes(r, max(0, size-footerSize), min(size, footerSize))
	if err != nil {
		return nil, err
	}
	if len(footer) < footerSize || binary.LittleEndian.Uint32(footer[5:]) != seekableMagic {
		return nil, fmt.Errorf("%w: no seek table at its end (zstd -d unpacks what tti pack has not written)", format.ErrTruncated)
	}
	if footer[4] != checksumFlag {
		return nil, corrupt("seek table: descriptor %#02x, want %#02x", footer[4], checksumFlag)
	}
	count := int64(binary.LittleEndian.Uint32(footer))
	content := count*entrySize + footerSize
	end := size - content - skippableHeader // of the frames
	if count == 0 || content > math.MaxUint32 || end <= 0 {
		return nil, corrupt("seek table: %d frames in %d bytes", count, size)
	}
	b, err := readBytes(r, end, skippableHeader+count*entrySize)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(b) != skippableMagic || int64(binary.LittleEndian.Uint32(b[4:])) != content {
		return nil, corrupt("seek table: it begins with % x, want that of %d frames", b[:skippableHeader], count)
	}
	t := &table{frames: make([]frame, 0, count)}
	for b := b[skippableHeader:]; len(b) > 0; b = b[entrySize:] {
		t.add(binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:]))
	}
	return t, t.validate(end, size)
}

// validate checks the lengths against each other, where the frames end and the size of the file.
func (t *table) validate(end, size int64) error {
	length := t.frames[0].length // of all frames but the last
	for i, f := range t.frames {
		last := i == len(t.frames)-1
		switch {
		case f.length == 0 || f.length > MaxFrameSize || f.length > length || f.length < length && !last:
			return corrupt("seek table: frame %d: %d bytes, want %d, at most %d", i, f.length, length, MaxFrameSize)
		case int64(f.packed) > end-f.offset:
			return corrupt("seek table: frame %d: %d bytes at %d of %d", i, f.packed, f.offset, end)
		case f.packed < minPacked || f.packed > maxPacked(f.length):
			return corrupt("seek table: frame %d: %d bytes cannot hold %d", i, f.packed, f.length)
		}
	}
	if t.end() != end {
		return corrupt("seek table: last frame ends at %d, want %d", t.end(), end)
	}
	return checkRatio(size, t.total)
}

// checkRatio is what packing and unpacking have to agree about.
func checkRatio(packed, total int64) error {
	if total/MaxRatio > packed {
		return fmt.Errorf("%w: %d bytes in %d, more than %d times as many", format.ErrUnsupported, total, packed, MaxRatio)
	}
	return nil
}

func corrupt(text string, values ...any) error {
	return fmt.Errorf("%w: %s", format.ErrCorrupt, fmt.Sprintf(text, values...))
}

// readBytes returns length bytes of a file.
func readBytes(r io.ReaderAt, offset, length int64) ([]byte, error) {
	b := make([]byte, length)
	return b, readFull(r, b, offset)
}

// readFull fills b, or says that the file is not long enough any more.
func readFull(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF:
		return fmt.Errorf("%w: it ends before %d", format.ErrTruncated, offset+int64(len(b)))
	}
	return err
}
