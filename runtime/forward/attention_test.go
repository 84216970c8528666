package forward

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
	"github.com/tti-llm/tti/runtime/kv"
)

// attentionShape is a kind of attention that a layer of random weights has.
type attentionShape struct {
	heads, kvHeads, width, window int
}

// newAttention returns an attention branch on an embedding of the given width, without last-layer treatment.
func newAttention(random *rand.Rand, s attentionShape, embedding int) *Branch {
	linear := func(rows, columns int) Linear {
		padded := format.PaddedColumns(columns)
		m := panel.Matrix{Encoding: format.PanelF32, Rows: rows, Columns: columns, Codes: make([]byte, format.PaddedRows(rows)*padded*4)}
		values := format.Float32s(m.Codes)
		for r := range rows {
			for k := range columns {
				values[(r/16*padded+k)*16+r%16] = float32(random.NormFloat64() * 0.3)
			}
		}
		l := Linear{Weights: m}
		l.complete()
		return l
	}
	ones := func(value float32) []float32 { return slices.Repeat([]float32{value}, embedding) }
	return &Branch{
		Norm: Norm{Kind: LayerNorm, Weight: ones(1), Bias: ones(0), Epsilon: 1e-5},
		In:   linear((s.heads+2*s.kvHeads)*s.width, embedding),
		Out:  linear(embedding, s.heads*s.width),
		mix:  &attention{heads: s.heads, kvHeads: s.kvHeads, width: s.width, window: s.window, scale: float32(1 / math.Sqrt(float64(s.width)))},
	}
}

// runBranch takes a residual stream of one sequence past a branch, in passes of the given sizes, and returns what it is
// then.
func runBranch(t *testing.T, b *Branch, shape Shape, layout kernels.KVLayout, set *kernels.Set, threads *pool.Pool, stream []float32, sizes []int) []float32 {
	t.Helper()
	p := NewPass(&Network{Shape: shape}, layout, set, threads.Threads())
	pages, err := kv.NewPool(layout, 0)
	if err != nil {
		t.Fatal(err)
	}
	stream = slices.Clone(stream)
	sequence := pages.NewSequence()
	for at, i := 0, 0; at < len(stream)/p.Stride(); i++ {
		n := min(sizes[i%len(sizes)], len(stream)/p.Stride()-at)
		if err := sequence.Reserve(at, at+n); err != nil {
			t.Fatal(err)
		}
		p.BeginOn(stream[at*p.Stride():], []Segment{{Pages: sequence.Pages(), Position: at, Tokens: make([]int32, n), Logits: n}})
		if err := threads.Run(func(w *pool.Worker) { b.Forward(w, p) }); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	return stream
}

// attendExactly is a branch by its definition in float64, over the whole stream at once.
func attendExactly(b *Branch, s attentionShape, embedding int, stream []float32, stride int) []float64 {
	positions := len(stream) / stride
	multiply := func(l *Linear, x []float64) []float64 {
		y, row := make([]float64, l.Weights.Rows), make([]float32, l.Weights.Columns)
		for r := range y {
			l.Weights.Row(r, row)
			for k, w := range row {
				y[r] += float64(w) * x[k]
			}
		}
		return y
	}
	qkv := make([][]float64, positions)
	for t := range qkv {
		x, mean, variance := make([]float64, embedding), 0.0, 0.0
		for k := range x {
			mean += float64(stream[t*stride+k]) / float64(embedding)
		}
		for k := range x {
			x[k] = float64(stream[t*stride+k]) - mean
			variance += x[k] * x[k] / float64(embedding)
		}
		for k := range x {
			x[k] /= math.Sqrt(variance + 1e-5)
		}
		qkv[t] = multiply(&b.In, x)
	}
	out := make([]float64, positions*embedding)
	for t := range positions {
		found := make([]float64, s.heads*s.width)
		for h := range s.heads {
			kvHead, first := h/(s.heads/s.kvHeads), 0
			if s.window > 0 {
				first = max(0, t+1-s.window)
			}
			weights, sum := make([]float64, t+1), 0.0
			for p := first; p <= t; p++ {
				for d := range s.width {
					weights[p] += qkv[t][h*s.width+d] * qkv[p][(s.heads+kvHead)*s.width+d] / math.Sqrt(float64(s.width))
				}
				weights[p] = math.Exp(weights[p])
				sum += weights[p]
			}
			for p := first; p <= t; p++ {
				for d := range s.width {
					found[h*s.width+d] += weights[p] / sum * qkv[p][(s.heads+s.kvHeads+kvHead)*s.width+d]
				}
			}
		}
		for k, v := range multiply(&b.Out, found) {
			out[t*embedding+k] = float64(stream[t*stride+k]) + v
		}
	}
	return out
}

// TestAttentionOfAllKinds runs grouped and windowed attention on all kernels, with fewer and more threads than heads and
// with passes of all sizes: the bits are the same, and near the definition's numbers.
func TestAttentionOfAllKinds(t *testing.T) {
	const embedding, positions = 48, 330 // more than threads share a head from
	for i, s := range []attentionShape{
		{heads: 4, kvHeads: 4, width: 16}, {heads: 4, kvHeads: 1, width: 16}, {heads: 6, kvHeads: 2, width: 24}, {heads: 7, kvHeads: 1, width: 5},
		{heads: 9, kvHeads: 1, width: 16, window: 24}, {heads: 8, kvHeads: 2, width: 32, window: 300}, {heads: 3, kvHeads: 3, width: 64, window: 1},
	} {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			random := rand.New(rand.NewPCG(61, uint64(i)))
			b := newAttention(random, s, embedding)
			shape := Shape{Vocabulary: 16, Context: 400, Embedding: embedding, Layers: 1, Heads: s.heads, KVHeads: s.kvHeads, HeadWidth: s.width, Hidden: 16}
			stream := make([]float32, positions*format.PaddedRows(embedding))
			for i := range stream {
				stream[i] = float32(random.NormFloat64())
			}
			encoding := []kernels.KVEncoding{kernels.KVF32, kernels.KVF16, kernels.KVInt8}[i%3]
			layout := func(page int) kernels.KVLayout {
				return kernels.NewKVLayout(encoding, 1, s.kvHeads, s.width, page)
			}
			one := pool.New(1)
			defer one.Close()
			want := runBranch(t, b, shape, layout(32), kernels.Sets()[0], one, stream, []int{64})
			if encoding == kernels.KVF32 {
				for k, v := range attendExactly(b, s, embedding, stream, format.PaddedRows(embedding)) {
					if math.Abs(float64(want[k])-v) > 1e-4 {
						t.Fatalf("value %d is %v, want %v", k, want[k], v)
					}
				}
			}
			for _, set := range kernels.Sets() {
				for threads := 1; threads <= 5; threads++ {
					if testing.Short() && threads != 3 {
						continue
					}
					team := pool.New(threads)
					for _, sizes := range [][]int{{64}, {1}, {3, 1, 17, 40, 2}, {33, 1}} {
						if set.Name() == "go" && (threads%2 == 0 || len(sizes) < 5) { // slow
							continue
						}
						page := 16 << random.IntN(3)
						got := runBranch(t, b, shape, layout(page), set, team, stream, sizes)
						for k := range want {
							if math.Float32bits(got[k]) != math.Float32bits(want[k]) {
								t.Fatalf("%s, %d threads, pages of %d, passes of %v: value %d is %v, want %v", set.Name(), threads, page, sizes, k, got[k], want[k])
							}
						}
					}
					team.Close()
				}
			}
		})
	}
}

// TestSharedHeadsAllocateNothing decodes with fewer heads than threads.
func TestSharedHeadsAllocateNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(62, 62))
	s := attentionShape{heads: 4, kvHeads: 1, width: 16}
	b := newAttention(random, s, 48)
	shape := Shape{Vocabulary: 16, Context: 400, Embedding: 48, Layers: 1, Heads: 4, KVHeads: 1, HeadWidth: 16, Hidden: 16}
	layout := kernels.NewKVLayout(kernels.KVF16, 1, 1, 16, 32)
	threads := pool.New(3)
	defer threads.Close()
	p := NewPass(&Network{Shape: shape}, layout, kernels.Sets()[0], 3)
	pages, err := kv.NewPool(layout, 0)
	if err != nil {
		t.Fatal(err)
	}
	sequence := pages.NewSequence()
	if err := sequence.Reserve(0, 400); err != nil {
		t.Fatal(err)
	}
	segments := []Segment{{Pages: sequence.Pages(), Position: sharedPositions + 20, Tokens: []int32{0}, Logits: 1}}
	stream := make([]float32, p.Stride())
	task := func(w *pool.Worker) { b.Forward(w, p) }
	if n := testing.AllocsPerRun(50, func() {
		p.BeginOn(stream, segments)
		if err := threads.Run(task); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
