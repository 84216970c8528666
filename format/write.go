package format

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format/progress"
)

// writeBuffer collects small writes of one section into larger ones.
const writeBuffer = 256 << 10

// WriteOptions are the choices of Write; the zero value is a good one.
type WriteOptions struct {
	Workers  int                        // sections written at the same time; 0: all cores
	NoSync   bool                       // leave it to the system when the file reaches the disk
	Progress func(written, total int64) // told of bytes of sections written, if not nil; its calls never overlap

	disk func(io.WriterAt) io.WriterAt // lets tests fail like a disk
}

// Write creates the file at path, or replaces it, at once and completely, or not at all; see
// Replace. When ctx is done, nothing is left behind and an existing target is as it was.
//
// Of each section Write needs Name, Kind, Optional, Encoding and Shape, whence its length follows;
// the rest is ignored. They are laid out in the order given. fill must write section i's bytes to
// w, in order, and exactly as many as its encoding and shape ask for; it is called once for every
// section, from several goroutines at once, and should give up when its ctx is done. The bytes of
// the file depend on nothing but the sections and what fill writes.
func Write(ctx context.Context, path string, sections []Section, fill func(ctx context.Context, i int, w io.Writer) error, opts WriteOptions) error {
	if err := write(ctx, path, sections, fill, opts); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func write(ctx context.Context, path string, sections []Section, fill func(ctx context.Context, i int, w io.Writer) error, opts WriteOptions) error {
	sections, fileSize, err := plan(sections)
	if err != nil {
		return err
	}
	return Replace(path, opts.NoSync, func(file *os.File) error {
		// The full length at once: what nobody writes, the gaps, is zero.
		if err := file.Truncate(fileSize); err != nil {
			return err
		}
		var disk io.WriterAt = file
		if opts.disk != nil {
			disk = opts.disk(disk)
		}
		if err := writeSections(ctx, disk, sections, fill, opts); err != nil {
			return err
		}
		index := encodeIndex(sections)
		_, err := disk.WriteAt(append(newHeader(fileSize, index).encode(), index...), 0)
		return err
	})
}

// plan returns the sections with their place in a file of the returned size.
func plan(sections []Section) ([]Section, int64, error) {
	if len(sections) > MaxSections {
		return nil, 0, fmt.Errorf("%d sections, want at most %d", len(sections), MaxSections)
	}
	sections = slices.Clone(sections)
	end := indexEnd(len(sections))
	for i := range sections {
		s := &sections[i]
		length, err := s.Encoding.Size(s.Shape)
		if err != nil {
			return nil, 0, fmt.Errorf("section %q: %w", s.Name, err)
		}
		s.Offset, s.Length, s.Checksum = align(end), length, 0
		if s.Length > math.MaxInt64-Alignment-s.Offset {
			return nil, 0, fmt.Errorf("section %q: shape %v is out of range", s.Name, s.Shape)
		}
		end = s.Offset + s.Length
	}
	return sections, end, validateSections(sections, end)
}

// writeSections writes every section to its place and notes its checksum.
func writeSections(ctx context.Context, disk io.WriterAt, sections []Section, fill func(ctx context.Context, i int, w io.Writer) error, opts WriteOptions) error {
	meter := newMeter(sections, opts.Progress)
	buffers := sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}
	return forEachSection(ctx, opts.Workers, sections, func(ctx context.Context, i int) error {
		s := &sections[i]
		w := &sectionWriter{ctx: ctx, disk: disk, offset: s.Offset, remaining: s.Length, meter: meter}
		w.digest.Reset()
		buffer := buffers.Get().(*bufio.Writer)
		defer buffers.Put(buffer)
		buffer.Reset(w)

		err := fill(ctx, i, buffer)
		if err == nil {
			err = buffer.Flush()
		}
		if err == nil && w.remaining > 0 {
			err = fmt.Errorf("%d bytes were written, want %d", s.Length-w.remaining, s.Length)
		}
		if err != nil {
			return fmt.Errorf("section %q: %w", s.Name, err)
		}
		s.Checksum = w.digest.Sum64()
		return nil
	})
}

var errSectionFull = errors.New("more bytes were written than its encoding and shape ask for")

// sectionWriter writes one section to its place in the file and sums it up on the way.
type sectionWriter struct {
	ctx       context.Context
	disk      io.WriterAt
	offset    int64 // of the next byte
	remaining int64
	digest    xxhash.Digest
	meter     *progress.Meter
}

func (w *sectionWriter) Write(p []byte) (written int, err error) {
	if int64(len(p)) > w.remaining {
		return 0, errSectionFull
	}
	for chunk := range slices.Chunk(p, chunkSize) {
		if err := w.ctx.Err(); err != nil {
			return written, err
		}
		n, err := w.disk.WriteAt(chunk, w.offset)
		written += n
		if err != nil {
			return written, err
		}
		w.digest.Write(chunk) // never fails
		w.offset += int64(n)
		w.remaining -= int64(n)
		w.meter.Add(n)
	}
	return written, nil
}
