package packed

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/progress"
)

// Options are the choices of Pack and Unpack; the zero value is a good one.
type Options struct {
	Workers  int                     // frames at work at the same time; 0: all cores
	NoSync   bool                    // leave it to the system when the target reaches the disk
	Progress func(done, total int64) // told of bytes of the .tti file, if not nil; its calls never overlap

	frame int64 // lets tests have many small frames; 0: frameSize
}

// Pack writes the .tti file source, packed, to target, and verifies the very bytes that it packs. The
// same file gives the same bytes, whatever the options. The target appears whole or not at all, see
// format.Replace; if the source changes meanwhile, either it is whole or there is an error.
func Pack(ctx context.Context, source, target string, o Options) error {
	if err := packFile(ctx, source, target, o); err != nil {
		return fmt.Errorf("pack %s: %w", source, err)
	}
	return nil
}

func packFile(ctx context.Context, source, target string, o Options) error {
	file, size, err := format.OpenRegular(source)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := differ(file, target); err != nil {
		return err
	}
	index, err := format.ReadIndex(file, size)
	if err != nil {
		return err
	}
	return format.Replace(target, o.NoSync, func(out *os.File) error {
		w := bufio.NewWriterSize(out, frameSize)
		if err := verify(index, pack(ctx, w, file, size, o)); err != nil {
			return err
		}
		return w.Flush()
	})
}

// differ refuses a target that is the source.
func differ(source *os.File, target string) error {
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if other, err := os.Stat(target); err == nil && os.SameFile(info, other) {
		return fmt.Errorf("target %s is the same file", target)
	}
	return nil
}

// pack writes the packed form of the size bytes of r to w and yields these bytes, piece by piece, as it
// goes. Each piece is valid until the next is asked for. What is written is whole when all have been.
func pack(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, o Options) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		workers := parallel.Workers(o.Workers)
		encoder, err := newEncoder(workers)
		if err != nil {
			yield(nil, err)
			return
		}
		defer encoder.Close()
		length := cmp.Or(o.frame, frameSize)
		pool := newBufferPool(workers)
		work := func(i int) (*buffers, error) {
			b := pool.get()
			offset := int64(i) * length
			b.content = grow(b.content, uint32(min(length, size-offset)))
			if err := readFull(r, b.content, offset); err != nil {
				return nil, err
			}
			b.packed = encoder.EncodeAll(b.content, b.packed[:0])
			return b, nil
		}

		var t table
		meter := progress.NewMeter(size, o.Progress)
		for b, err := range parallel.InOrder(ctx, workers, int((size+length-1)/length), work) {
			if err == nil {
				_, err = w.Write(b.packed)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			// A frame ends with the checksum that the table repeats.
			checksum := binary.LittleEndian.Uint32(b.packed[len(b.packed)-checksumSize:])
			t.add(uint32(len(b.packed)), uint32(len(b.content)), checksum)
			if !yield(b.content, nil) {
				return
			}
			meter.Add(len(b.content))
			pool.put(b)
		}
		if err := writeTable(w, &t); err != nil {
			yield(nil, err)
		}
	}
}

// writeTable writes the end of a packed file.
func writeTable(w io.Writer, t *table) error {
	end, err := t.encode()
	if err != nil {
		return err
	}
	if err := checkRatio(t.end()+int64(len(end)), t.total); err != nil {
		return err
	}
	_, err = w.Write(end)
	return err
}
