package packed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/progress"
)

// File is an open packed file. What it says of the .tti file in it (size, version, sections) is
// known; contents are unpacked when they are asked for, to memory only. Its methods may be called from
// several goroutines at once, Close excepted.
type File struct {
	*format.Index
	path    string
	source  io.ReaderAt
	size    int64
	table   *table
	workers int
	decoder *zstd.Decoder
	buffers bufferPool
	close   func() error
}

// Open opens a packed file and checks its seek table and the .tti file's header and index completely.
// It unpacks only the frames that these lie in. The error wraps one of package format's sentinels if
// the contents are at fault.
func Open(path string) (*File, error) {
	source, size, err := format.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	f, err := newFile(source, size, Options{})
	if err != nil {
		source.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.path, f.close = path, source.Close
	return f, nil
}

// newFile opens a packed file of the given size that is read from source.
func newFile(source io.ReaderAt, size int64, o Options) (*File, error) {
	table, err := readTable(source, size)
	if err != nil {
		return nil, err
	}
	f := &File{source: source, size: size, table: table, workers: parallel.Workers(o.Workers), close: func() error { return nil }}
	f.buffers = newBufferPool(f.workers)
	if f.decoder, err = newDecoder(f.workers); err != nil {
		return nil, err
	}
	if f.Index, err = format.ReadIndex(contents{f}, table.total); err != nil {
		f.decoder.Close()
		if errors.Is(err, format.ErrPacked) {
			err = fmt.Errorf("%w twice", err)
		}
		return nil, err
	}
	return f, nil
}

// Path returns the path given to Open.
func (f *File) Path() string { return f.path }

// PackedSize returns the length of the packed file in bytes; Size is that of the .tti file.
func (f *File) PackedSize() int64 { return f.size }

// Meta returns what the .tti file says it holds, after checking that section's checksum.
func (f *File) Meta() (format.Meta, error) {
	meta, err := f.ReadMeta(contents{f})
	if err != nil {
		return format.Meta{}, fmt.Errorf("%s: %w", f.path, err)
	}
	return meta, nil
}

// Copy returns the contents of a section, after checking that they have its checksum. Only the frames that hold it are
// unpacked. Errors name the section.
func (f *File) Copy(s format.Section) ([]byte, error) {
	content := make([]byte, s.Length)
	_, err := contents{f}.ReadAt(content, s.Offset)
	if sum := xxhash.Sum64(content); err == nil && sum != s.Checksum {
		err = fmt.Errorf("%w: %016x, want %016x", format.ErrChecksum, sum, s.Checksum)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: section %s: %w", f.path, s.Name, err)
	}
	return content, nil
}

// Verify unpacks the whole file, on all cores and to memory only, and checks all that Verify of the
// .tti file would; together with what Open has checked, that is every byte. Its memory does not grow
// with the file. The error names the first bad frame or section, or is the context's. progress, if not
// nil, is told how many bytes of the .tti file are done. Its calls never overlap.
func (f *File) Verify(ctx context.Context, progress func(done, total int64)) error {
	if err := f.verify(ctx, nil, progress); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}

// verify does that, and gives every piece of the .tti file to keep, if that is not nil, as it comes,
// from several goroutines at once.
func (f *File) verify(ctx context.Context, keep io.WriterAt, progress func(done, total int64)) error {
	return verify(f.Index, f.pieces(ctx, keep, progress))
}

// verify checks the contents of a .tti file that come in pieces, all of them, by what was read of
// its index before.
func verify(index *format.Index, pieces iter.Seq2[[]byte, error]) error {
	next, stop := iter.Pull2(pieces)
	defer stop()
	return index.VerifyReader(&reader{next: next})
}

// pieces yields the contents of all frames in order. Each is valid until the next is asked for.
func (f *File) pieces(ctx context.Context, keep io.WriterAt, report func(done, total int64)) iter.Seq2[[]byte, error] {
	unpack := func(i int) (*buffers, error) {
		b := f.buffers.get()
		if err := f.unpack(b, i); err != nil {
			return nil, err
		}
		if keep != nil {
			if _, err := keep.WriteAt(b.content, int64(i)*f.frameLength()); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	return func(yield func([]byte, error) bool) {
		meter := progress.NewMeter(f.table.total, report)
		for b, err := range parallel.InOrder(ctx, f.workers, len(f.table.frames), unpack) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(b.content, nil) {
				return
			}
			meter.Add(len(b.content))
			f.buffers.put(b)
		}
	}
}

// frameLength returns the bytes of the .tti file in every frame but the last.
func (f *File) frameLength() int64 { return int64(f.table.frames[0].length) }

// unpack makes frame i the content of b.
func (f *File) unpack(b *buffers, i int) error {
	frame := f.table.frames[i]
	about := func(err error) error { return fmt.Errorf("frame %d at %d: %w", i, frame.offset, err) }
	b.packed = grow(b.packed, frame.packed)
	if err := readFull(f.source, b.packed, frame.offset); err != nil {
		return about(err)
	}
	if err := checkFrame(b.packed, frame); err != nil {
		return about(err)
	}
	content, err := f.decoder.DecodeAll(b.packed, grow(b.content, frame.length)[:0:frame.length])
	switch {
	case errors.Is(err, zstd.ErrCRCMismatch):
		return about(format.ErrChecksum)
	case err != nil:
		return about(fmt.Errorf("%w: %w", format.ErrCorrupt, err))
	case len(content) != int(frame.length):
		return about(corrupt("%d bytes, want %d", len(content), frame.length))
	}
	b.content = content
	return nil
}

// Close closes the file.
func (f *File) Close() error {
	f.decoder.Close()
	return f.close()
}

// contents reads the .tti file in a packed one.
type contents struct{ *File }

// ReadAt unpacks every frame that p touches.
func (c contents) ReadAt(p []byte, offset int64) (n int, err error) {
	b := c.buffers.get()
	defer c.buffers.put(b)
	for n < len(p) {
		at := offset + int64(n)
		if at >= c.table.total {
			return n, io.EOF
		}
		if err := c.unpack(b, int(at/c.frameLength())); err != nil {
			return n, err
		}
		n += copy(p[n:], b.content[at%c.frameLength():])
	}
	return n, nil
}

// reader reads the pieces of an iterator.
type reader struct {
	next func() ([]byte, error, bool)
	rest []byte
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		piece, err, more := r.next()
		if err == nil && !more {
			err = io.EOF
		}
		if err != nil {
			return 0, err
		}
		r.rest = piece
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
