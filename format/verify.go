package format

import (
	"context"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Verify reads the whole file on all cores and checks the checksum of every section and that the
// bytes between sections are zero; with what Open has checked, that is every bit of the file. The
// error names the first bad section in file order. It wraps ErrChecksum, ErrCorrupt for the bytes
// in between, ErrTruncated if the file has become shorter since it was opened, or is the context's.
//
// progress, if not nil, is told how many bytes of the sections are done. Its calls never overlap.
func (f *File) Verify(ctx context.Context, progress func(done, total int64)) error {
	meter := newMeter(f.sections, progress)
	errs := make([]error, len(f.sections))
	forEachSection(ctx, 0, f.sections, func(i int) {
		errs[i] = GuardFault(func() error { return f.verifySection(ctx, f.sections[i], meter) })
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, err := range errs {
		if err != nil {
			return f.about(f.sections[i], err)
		}
	}
	return nil
}

// verifySection checks a section and the gap behind it.
func (f *File) verifySection(ctx context.Context, s Section, meter *meter) error {
	var digest xxhash.Digest
	digest.Reset()
	for chunk := range slices.Chunk(f.Bytes(s), chunkSize) {
		if err := ctx.Err(); err != nil {
			return err
		}
		digest.Write(chunk) // never fails
		meter.add(len(chunk))
	}
	if sum := digest.Sum64(); sum != s.Checksum {
		return fmt.Errorf("%w: %016x, want %016x", ErrChecksum, sum, s.Checksum)
	}
	end := s.Offset + s.Length
	for i, b := range f.data[end:min(align(end), f.Size())] {
		if b != 0 {
			return fmt.Errorf("%w: byte %#02x at %d between sections, want 0", ErrCorrupt, b, end+int64(i))
		}
	}
	return nil
}
