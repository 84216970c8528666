package format

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// writeSparse writes a file of tensors that are zeros, which take no room on most disks, and a
// tensor "last" behind them. It does by hand what Write does, because Write would fill the holes.
func writeSparse(t *testing.T, holes int, holeSize int, holeChecksum uint64, last []byte) string {
	t.Helper()
	sample := newSample(t)
	meta := sample.contents[0]
	sections := sample.sections[:1]
	for i := range holes {
		sections = append(sections, Section{Name: fmt.Sprint("hole ", i), Kind: KindTensor, Encoding: Float32, Shape: []int{holeSize / 4}})
	}
	sections = append(sections, Section{Name: "last", Kind: KindTensor, Encoding: Float32, Shape: []int{len(last) / 4}})
	sections, size, err := plan(sections)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sections {
		sections[i].Checksum = holeChecksum
	}
	sections[0].Checksum = xxhash.Sum64(meta)
	sections[holes+1].Checksum = xxhash.Sum64(last)
	index := encodeIndex(sections)

	path := filepath.Join(t.TempDir(), "sparse.tti")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		t.Skipf("no room for %d bytes: %v", size, err)
	}
	pieces := []struct {
		offset  int64
		content []byte
	}{
		{0, append(newHeader(size, index).encode(), index...)},
		{sections[0].Offset, meta},
		{sections[holes+1].Offset, last},
	}
	for _, piece := range pieces {
		if _, err := file.WriteAt(piece.content, piece.offset); err != nil {
			t.Skipf("write a sparse file: %v", err)
		}
	}
	return path
}

// TestLargerThan4GiB opens and verifies a file whose offsets do not fit 32 bits, and reads its
// last tensor.
func TestLargerThan4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 4 GiB")
	}
	const holeSize = 1 << 30
	zeros := make([]byte, 1<<20)
	var digest xxhash.Digest
	digest.Reset()
	for range holeSize / len(zeros) {
		digest.Write(zeros)
	}
	last := bytes.Repeat(binary.LittleEndian.AppendUint32(nil, 0x3f800000), 20) // ones
	f, err := Open(writeSparse(t, 4, holeSize, digest.Sum64(), last))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, ok := f.Section("last")
	if !ok || s.Offset <= 1<<32 || f.Size() <= 1<<32 {
		t.Fatalf("last section at %d of %d, want beyond 4 GiB", s.Offset, f.Size())
	}
	for i, v := range Float32s(f.Bytes(s)) {
		if v != 1 {
			t.Errorf("value %d is %v, want 1", i, v)
		}
	}
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
}

// TestOpenAllocatesNothingForWeights opens files that differ only in the size of their tensors.
func TestOpenAllocatesNothingForWeights(t *testing.T) {
	allocated := func(holeSize int) uint64 {
		path := writeSparse(t, 1, holeSize, 0, make([]byte, 4))
		least := ^uint64(0) // of several, lest something else in the process be counted
		for range 10 {
			least = min(least, allocatedBytes(func() {
				f, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
			}))
		}
		return least
	}
	small, large := allocated(64), allocated(1<<34)
	if large > small {
		t.Errorf("Open allocates %d bytes for 16 GiB of weights, %d for 64 bytes", large, small)
	}
	t.Logf("Open allocates %d bytes", large)
}

func BenchmarkOpen(b *testing.B) {
	path := newSample(b).write(b, WriteOptions{})
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// benchmarkContainer holds 8 tensors of 8 MiB.
func benchmarkContainer(b *testing.B) container {
	c := newSample(b)
	content := make([]byte, 8<<20)
	for i := range 8 {
		c.sections = append(c.sections, Section{Name: fmt.Sprint(i), Kind: KindTensor, Encoding: Float32, Shape: []int{len(content) / 4}})
		c.contents = append(c.contents, content)
	}
	b.SetBytes(8 * int64(len(content)))
	return c
}

func BenchmarkWrite(b *testing.B) {
	c := benchmarkContainer(b)
	path := filepath.Join(b.TempDir(), "out.tti")
	for b.Loop() {
		if err := Write(b.Context(), path, c.sections, c.fill, WriteOptions{NoSync: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	f, err := Open(benchmarkContainer(b).write(b, WriteOptions{}))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if err := f.Verify(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
