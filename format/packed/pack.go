package packed

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// Pack verifies the .tti file source and writes it, packed, to target. The same file gives the same
// bytes, whatever the options. The target appears whole or not at all, see format.Replace.
func Pack(ctx context.Context, source, target string, o Options) error {
	if err := packFile(ctx, source, target, o); err != nil {
		return fmt.Errorf("pack %s: %w", source, err)
	}
	return nil
}

func packFile(ctx context.Context, source, target string, o Options) error {
	if err := verify(ctx, source); err != nil {
		return err
	}
	file, size, err := openFile(source)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := differ(file, target); err != nil {
		return err
	}
	return format.Replace(target, o.NoSync, func(out *os.File) error {
		w := bufio.NewWriterSize(out, frameSize)
		if err := pack(ctx, w, file, size, o); err != nil {
			return err
		}
		return w.Flush()
	})
}

func verify(ctx context.Context, path string) error {
	file, err := format.Open(path)
	if errors.Is(err, format.ErrPacked) {
		return format.ErrPacked
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Verify(ctx, nil)
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

// pack writes the packed form of the size bytes of r.
func pack(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, o Options) error {
	workers := parallel.Workers(o.Workers)
	encoder, err := newEncoder(workers)
	if err != nil {
		return err
	}
	defer encoder.Close()
	length := o.frame
	if length == 0 {
		length = frameSize
	}
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
	packed := int64(0)
	meter := progress.NewMeter(size, o.Progress)
	for b, err := range parallel.InOrder(ctx, workers, int((size+length-1)/length), work) {
		if err != nil {
			return err
		}
		if _, err := w.Write(b.packed); err != nil {
			return err
		}
		packed += int64(len(b.packed))
		// A frame ends with the checksum that the table repeats.
		checksum := binary.LittleEndian.Uint32(b.packed[len(b.packed)-checksumSize:])
		t.add(uint32(len(b.packed)), uint32(len(b.content)), checksum)
		meter.Add(len(b.content))
		pool.put(b)
	}
	end, err := t.encode()
	if err != nil {
		return err
	}
	if err := checkRatio(packed+int64(len(end)), size); err != nil {
		return err
	}
	_, err = w.Write(end)
	return err
}
