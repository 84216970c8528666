package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
	"github.com/tti-llm/tti/runtime"
)

// draft returns the draft model with int8 weights.
func draft(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "draft.tti")
	if err := convert.Convert(t.Context(), "../../testdata/fable-draft", path, convert.Options{Mode: convert.Int8, NoSync: true}); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReaderReadsEveryWeightOnce compares what all threads have read with a plain loop.
func TestReaderReadsEveryWeightOnce(t *testing.T) {
	model, err := runtime.Open(draft(t))
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	want, length := uint64(0), int64(0)
	for _, s := range model.File().Sections() {
		if !s.Encoding.IsPanel() { // of the draft, every matrix is read: its head is its embedding
			continue
		}
		length += s.Length
		bytes := model.File().Bytes(s)
		for ; len(bytes) >= 8; bytes = bytes[8:] {
			want ^= binary.LittleEndian.Uint64(bytes)
		}
		if len(bytes) != 0 {
			t.Fatalf("section %s does not end with a whole word", s.Name)
		}
	}
	set, err := kernels.Select(model.Kernels())
	if err != nil {
		t.Fatal(err)
	}
	for threads := 1; threads <= 3; threads++ {
		all, err := weights(model)
		if err != nil {
			t.Fatal(err)
		}
		r := newReader(all, set, threads)
		if r.bytes != length {
			t.Errorf("reader reads %d bytes, want %d", r.bytes, length)
		}
		r.passes = 3 // an odd number, or the passes would cancel out
		got := make([]uint64, threads)
		if err := r.pool.Run(func(w *pool.Worker) { got[w.Index] = r.read(w) }); err != nil {
			t.Fatal(err)
		}
		sum := uint64(0)
		for _, part := range got {
			sum ^= part
		}
		if sum != want {
			t.Errorf("%d threads read %016x, want %016x", threads, sum, want)
		}
		r.close()
	}
}

// TestKVBytes compares the mean with the bytes of each token added up.
func TestKVBytes(t *testing.T) {
	b, err := newBench(draft(t), Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, depth := range []int{0, 100} {
		if err := b.fill(depth); err != nil {
			t.Fatal(err)
		}
		sum, span := int64(0), Span{depth, 30}
		for i := range span.Tokens {
			if _, err := b.session.Append(b.ids[depth+i : depth+i+1]); err != nil {
				t.Fatal(err)
			}
			sum += b.session.KVBytes()
		}
		if got, want := b.cacheBytes(span), float64(sum)/float64(span.Tokens); math.Abs(got-want) > 1e-6*want {
			t.Errorf("at %d a token reads %v bytes of cache, want %v", depth, got, want)
		}
	}
}

// TestQuantiles: the rates' low quartile is that of the long times.
func TestQuantiles(t *testing.T) {
	m := measurement{seconds: []float64{5, 1, 2, 4, 3}}
	if rate, spread := m.rate(12); rate != 4 || spread != (Spread{Low: 3, High: 6}) {
		t.Errorf("rate %v, spread %v", rate, spread)
	}
}

// TestMeasureTakesTurns measures what it is told to, of two models.
func TestMeasureTakesTurns(t *testing.T) {
	paths := []string{draft(t), draft(t)}
	results, err := Measure(t.Context(), paths, Options{
		Threads: 1, Repeats: 2, Batches: -1, Prompts: []int{1, 7, 100000}, Decodes: []Span{{0, 16}, {480, 32}, {481, 32}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Model != paths[i] || len(r.Batch) != 0 || len(r.Prefill) != 2 || len(r.Decode) != 2 || r.Decode[1].Depth != 480 || r.Decode[1].Tokens != 32 {
			t.Errorf("result %+v", r)
		}
		for _, d := range r.Decode {
			if !(d.Spread.Low > 0 && d.Spread.Low <= d.Rate && d.Rate <= d.Spread.High) {
				t.Errorf("rate %v of %v", d.Rate, d.Spread)
			}
		}
	}
}

func TestMeasure(t *testing.T) {
	path := draft(t)
	steps, last := 0, int64(0)
	results, err := Measure(t.Context(), []string{path}, Options{Threads: 2, Repeats: 1, Progress: func(done, total int64) {
		steps++
		if last = total; done != int64(steps) {
			t.Errorf("step %d is told as %d of %d", steps, done, total)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if int64(steps) != last || r.Threads != 2 || r.Model != path || len(r.Batch) != 16 || len(r.Decode) != 2 || len(r.Prefill) != 2 {
		t.Errorf("%d of %d steps, result %+v", steps, last, r)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(cancelled, []string{path}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled measurement ends with %v", err)
	}
}

// A context shorter than prompts and batches of the usual length leaves those out.
func TestShortContext(t *testing.T) {
	source, path := t.TempDir(), filepath.Join(t.TempDir(), "short.tti")
	if err := synthetic.Write(t.Context(), source, synthetic.Model{Vocabulary: 300, Context: 40, Embedding: 64, Layers: 1, Heads: 2}); err != nil {
		t.Fatal(err)
	}
	if err := convert.Convert(t.Context(), source, path, convert.Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	results, err := Measure(t.Context(), []string{path}, Options{Threads: 1, Repeats: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; len(r.Prefill) != 0 || len(r.Batch) != 16 || r.Decode[1].Depth != 20 {
		t.Errorf("result %+v", r)
	}
}
