package runtime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"sync"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
)

var int4 = convert.Options{Mode: convert.Int4}

func TestAppendRefuses(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4))
	s := session(t, m)
	for _, c := range []struct {
		name string
		ids  []int32
		want error
	}{
		{"nothing", nil, runtime.ErrEmpty}, {"a negative token", []int32{5, -1}, runtime.ErrToken}, {"a token too large", []int32{2048}, runtime.ErrToken},
		{"more than the context", make([]int32, 513), runtime.ErrContextFull},
	} {
		if _, err := s.Append(c.ids); !errors.Is(err, c.want) || s.Len() != 0 {
			t.Errorf("%s: %v, %d positions in use", c.name, err, s.Len())
		}
	}
	if _, err := s.Append(make([]int32, 512)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append([]int32{1}); !errors.Is(err, runtime.ErrContextFull) || s.Len() != 512 {
		t.Errorf("the 513th token: %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	s.Truncate(3)
	if _, err := s.AppendContext(cancelled, []int32{1}); !errors.Is(err, context.Canceled) || s.Len() != 3 {
		t.Errorf("cancelled: %v, %d positions", err, s.Len())
	}
}

func TestSessionsAreIndependent(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4))
	ids := tale(40)
	alone, err := session(t, m).Append(ids)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for offset := range 4 {
		s, other := session(t, m), session(t, m)
		group.Go(func() {
			var logits []float32
			for i, id := range ids {
				var err error
				if logits, err = s.Append([]int32{id}); err != nil {
					t.Error(err)
				}
				if _, err := other.Append(tale(200)[offset*40+i:][:1]); err != nil {
					t.Error(err)
				}
			}
			sameBits(t, "beside other sessions", logits, alone)
		})
	}
	group.Wait()
}

func TestDecodingAllocatesNothing(t *testing.T) {
	for _, mode := range modes {
		for _, set := range kernels.Sets() {
			m := open(t, modelFile(t, "fable-draft", mode), runtime.WithKernels(set.Name()))
			s := session(t, m)
			if _, err := s.Append(tale(5)); err != nil {
				t.Fatal(err)
			}
			sampler, err := m.NewSampler(runtime.Sampling{Temperature: 0.8, TopK: 40, TopP: 0.9, MinP: 0.01, RepetitionPenalty: 1.1})
			if err != nil {
				t.Fatal(err)
			}
			next, preceding := []int32{9}, tale(20)
			allocations := testing.AllocsPerRun(5, func() {
				logits, err := s.Append(next)
				if err == nil {
					next[0], err = sampler.Draw(logits, preceding)
				}
				if err != nil {
					t.Fatal(err)
				}
			})
			if allocations != 0 {
				t.Errorf("%s %s on %s: %v allocations per token", mode.Mode, mode.Int4, set.Name(), allocations)
			}
			m.Close()
		}
	}
}

func TestOpenOptions(t *testing.T) {
	path := modelFile(t, "fable-draft", int4)
	if _, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(-1))); !errors.Is(err, runtime.ErrOption) {
		t.Errorf("-1 threads: %v", err)
	}
	if _, err := runtime.Open(path, runtime.WithKernels("sse")); !errors.Is(err, runtime.ErrNoKernels) {
		t.Errorf("unknown kernels: %v", err)
	}
	t.Setenv(kernels.Environment, "mmx")
	if _, err := runtime.Open(path); !errors.Is(err, runtime.ErrNoKernels) {
		t.Errorf("unknown kernels in the environment: %v", err)
	}
	t.Setenv(kernels.Environment, "go")
	if m := open(t, path); m.Kernels() != "go" || m.Threads().Count() != goruntime.GOMAXPROCS(0) || m.KV() != runtime.F16 {
		t.Errorf("kernels %s, %d threads, %v cache", m.Kernels(), m.Threads().Count(), m.KV())
	}
	if m := open(t, modelFile(t, "fable-draft", convert.Options{Mode: convert.F32}), runtime.WithThreads(runtime.NewThreads(7))); m.KV() != runtime.F32 || m.Threads().Count() != 7 {
		t.Errorf("%v cache, %d threads", m.KV(), m.Threads().Count())
	}
	if _, err := runtime.Open(filepath.Join(t.TempDir(), "missing.tti")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// TestTruncatedUnderTheMapping cuts the file while a session decodes from it.
func TestTruncatedUnderTheMapping(t *testing.T) {
	if goruntime.GOOS == "windows" {
		t.Skip("a mapped file cannot be truncated here")
	}
	whole, err := os.ReadFile(modelFile(t, "fable-draft", int4))
	if err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 3} {
		path := filepath.Join(t.TempDir(), "cut.tti")
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		m := open(t, path, runtime.WithThreads(runtime.NewThreads(threads)))
		s := session(t, m)
		if _, err := s.Append(tale(3)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 8192); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := s.Append([]int32{1}); !errors.Is(err, runtime.ErrTruncated) {
				t.Errorf("%d threads: %v", threads, err)
			}
		}
	}
}

func TestFlippedBitIsFound(t *testing.T) {
	data, err := os.ReadFile(modelFile(t, "fable-draft", int4))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	path := filepath.Join(t.TempDir(), "flipped.tti")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := runtime.Open(path); !errors.Is(err, format.ErrChecksum) {
		t.Errorf("opened a damaged file: %v", err)
	}
	open(t, path, runtime.WithoutVerify())
}

// TestModelsShareThreads lets two models run in turns on one team of threads.
func TestModelsShareThreads(t *testing.T) {
	path := modelFile(t, "fable-draft", convert.Options{Mode: convert.Int8})
	owner := open(t, path, runtime.WithThreads(runtime.NewThreads(2)))
	guest := open(t, path, runtime.WithThreads(owner.Threads()))
	if guest.Threads().Count() != 2 {
		t.Errorf("%d threads, want the other model's 2", guest.Threads().Count())
	}
	first, second := session(t, owner), session(t, guest)
	for piece := range slices.Chunk(tale(60), 7) {
		want, err := first.Append(piece)
		if err != nil {
			t.Fatal(err)
		}
		got, err := second.Append(piece)
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, "on shared threads", got, want)
	}
	if err := guest.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Append([]int32{1}); err != nil {
		t.Errorf("after the guest was closed: %v", err)
	}
}

// TestKVBytes compares it with what a full session reads, and with a count of values and scales.
func TestKVBytes(t *testing.T) {
	path := modelFile(t, "fable-draft", convert.Options{Mode: convert.Int8})
	shape := open(t, path).Shape()
	values := int64(2 * shape.Layers * shape.Heads * shape.HeadWidth * shape.Context)
	for encoding, want := range map[runtime.KV]int64{
		runtime.F32: 4 * values, runtime.F16: 2 * values, runtime.Int8: values + int64(2*4*shape.Layers*shape.Heads*shape.Context),
	} {
		m := open(t, path, runtime.WithKV(encoding))
		s := session(t, m)
		if _, err := s.Append(make([]int32, shape.Context)); err != nil {
			t.Fatal(err)
		}
		if got := m.KVBytes(shape.Context); got != want || s.KVBytes() != want {
			t.Errorf("%v: %d bytes, a full session reads %d, want %d", encoding, got, s.KVBytes(), want)
		}
	}
}
