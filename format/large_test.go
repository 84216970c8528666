package format_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/sparsetest"
)

// writeSparse writes a file of tensors that are holes, whose checksums are wrong, and a tensor "last" behind them.
func writeSparse(t *testing.T, holes int, holeSize int, last []byte) string {
	t.Helper()
	meta, err := format.Meta{Architecture: "none", Hyperparameters: []byte("{}"), Mode: "f32", Sources: map[string]string{}, Specification: "1.0", Tool: "test"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	tensor := func(name string, size int) format.Section {
		return format.Section{Name: name, Kind: format.KindTensor, Encoding: format.Float32, Shape: []int{size / 4}}
	}
	sections := []sparsetest.Section{{
		Section: format.Section{Name: format.MetaName, Kind: format.KindMeta, Encoding: format.Bytes, Shape: []int{len(meta)}}, Content: meta,
	}}
	for i := range holes {
		sections = append(sections, sparsetest.Section{Section: tensor(fmt.Sprint("hole ", i), holeSize)})
	}
	return sparsetest.Write(t, append(sections, sparsetest.Section{Section: tensor("last", len(last)), Content: last}))
}

// TestLargerThan4GiB opens a file whose offsets do not fit 32 bits, reads its last tensor and checks that one's sum. To check those of
// the holes would fill the memory with zeros and prove no more.
func TestLargerThan4GiB(t *testing.T) {
	last := bytes.Repeat(binary.LittleEndian.AppendUint32(nil, 0x3f800000), 20) // ones
	f, err := format.Open(writeSparse(t, 4, 1<<30, last))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, ok := f.Section("last")
	if !ok || s.Offset <= 1<<32 || f.Size() <= 1<<32 {
		t.Fatalf("last section at %d of %d, want beyond 4 GiB", s.Offset, f.Size())
	}
	for i, v := range format.Float32s(f.Bytes(s)) {
		if v != 1 {
			t.Errorf("value %d is %v, want 1", i, v)
		}
	}
	if err := f.VerifySection(t.Context(), s); err != nil {
		t.Error(err)
	}
	s.Checksum++
	if err := f.VerifySection(t.Context(), s); !errors.Is(err, format.ErrChecksum) {
		t.Errorf("with another sum: %v", err)
	}
}

// TestOpenAllocatesNothingForWeights opens files that differ only in the size of their tensors.
func TestOpenAllocatesNothingForWeights(t *testing.T) {
	allocated := func(holeSize int) uint64 {
		path := writeSparse(t, 1, holeSize, make([]byte, 4))
		least := ^uint64(0) // of several, lest something else in the process be counted
		for range 10 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f, err := format.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		return least
	}
	small, large := allocated(64), allocated(1<<34)
	if large > small {
		t.Errorf("Open allocates %d bytes for 16 GiB of weights, %d for 64 bytes", large, small)
	}
	t.Logf("Open allocates %d bytes", large)
}
