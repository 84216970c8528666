package format

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format/progress"
)

// Verify reads the whole file on all cores and checks the checksum of every section and that the
// bytes between sections are zero; with what Open has checked, that is every bit of the file. The
// error names the first bad section in file order. It wraps ErrChecksum, ErrCorrupt for the bytes
// in between, ErrTruncated if the file has become shorter since it was opened, ErrClosed if it is closed meanwhile, or is
// the context's.
//
// progress, if not nil, is told how many bytes of the sections are done. Its calls never overlap.
func (f *File) Verify(ctx context.Context, progress func(done, total int64)) error {
	meter := newMeter(f.sections, progress)
	errs := make([]error, len(f.sections))
	err := forEachSection(ctx, 0, f.sections, func(ctx context.Context, i int) error {
		errs[i] = f.verifySection(ctx, f.sections[i], meter)
		return nil // lest a bad section hide one before it
	})
	if err != nil {
		return err
	}
	for i, err := range errs {
		if err != nil {
			return f.about(about(f.sections[i], err))
		}
	}
	return nil
}

// verifySection checks a section and the gap behind it.
func (f *File) verifySection(ctx context.Context, s Section, meter *progress.Meter) error {
	var digest xxhash.Digest
	digest.Reset()
	for start := int64(0); start < s.Length; start += chunkSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := min(chunkSize, s.Length-start)
		err := f.Guard(func() error {
			digest.Write(f.Bytes(s)[start : start+chunk]) // never fails
			return nil
		})
		if err != nil {
			return err
		}
		meter.Add(int(chunk))
	}
	if err := checkSum(digest.Sum64(), s.Checksum); err != nil {
		return err
	}
	end := s.Offset + s.Length
	return f.Guard(func() error { return checkGap(f.data[end:min(align(end), f.Size())], end) })
}

// VerifyReader reads the whole file from r, from its first byte to its last, and checks all that
// Verify and ReadIndex do. It is for files that cannot be mapped; its memory does not depend on them.
func (x *Index) VerifyReader(r io.Reader) error {
	start := make([]byte, headerSize)
	if _, err := io.ReadFull(r, start); err != nil {
		return short(err)
	}
	if !bytes.Equal(start, x.header.encode()) {
		return fmt.Errorf("%w: the header has changed", ErrCorrupt)
	}
	if err := sumReader(r, int64(x.header.IndexLength), x.header.IndexChecksum); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	for _, s := range x.sections {
		if err := sumReader(r, s.Length, s.Checksum); err != nil {
			return about(s, err)
		}
		end := s.Offset + s.Length
		gap := make([]byte, min(align(end), x.Size())-end)
		if _, err := io.ReadFull(r, gap); err != nil {
			return about(s, short(err))
		}
		if err := checkGap(gap, end); err != nil {
			return about(s, err)
		}
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("%w: more than %d bytes", ErrCorrupt, x.Size())
	default:
		return err
	}
}

// sumReader compares the checksum of the next bytes.
func sumReader(r io.Reader, length int64, want uint64) error {
	var digest xxhash.Digest
	digest.Reset()
	if _, err := io.CopyN(&digest, r, length); err != nil {
		return short(err)
	}
	return checkSum(digest.Sum64(), want)
}

// short makes the end of a reader a reason.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}

func checkSum(sum, want uint64) error {
	if sum != want {
		return fmt.Errorf("%w: %016x, want %016x", ErrChecksum, sum, want)
	}
	return nil
}

// checkGap checks the bytes between two sections.
func checkGap(gap []byte, offset int64) error {
	for i, b := range gap {
		if b != 0 {
			return fmt.Errorf("%w: byte %#02x at %d between sections, want 0", ErrCorrupt, b, offset+int64(i))
		}
	}
	return nil
}
