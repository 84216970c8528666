package forward_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/guardtest"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
	"github.com/tti-llm/tti/runtime/forward"
)

// guardedSource makes random weights in one encoding, each section in memory of its own.
type guardedSource struct {
	memory   *guardtest.Memory
	encoding format.Encoding
	random   *rand.Rand
}

func (g guardedSource) Vector(t architecture.Tensor) ([]float32, error) {
	size, err := format.Float32.Size(t.Shape)
	values := make([]float32, size/4)
	for i := range values {
		values[i] = g.value()
	}
	return guardtest.Copy(g.memory, values), err
}

func (g guardedSource) Matrix(t architecture.Tensor) (panel.Matrix, error) {
	size, err := g.encoding.Size(t.Shape)
	if err != nil {
		return panel.Matrix{}, err
	}
	m, err := panel.View(g.encoding, t.Shape[0], t.Shape[1], g.memory.Bytes(int(size)))
	switch g.encoding {
	case format.PanelF32:
		for i, values := 0, format.Float32s(m.Codes); i < len(values); i++ {
			values[i] = g.value()
		}
	case format.PanelF16:
		for i, values := 0, format.Uint16s(m.Codes); i < len(values); i++ {
			values[i] = float16.FromFloat32(g.value())
		}
	default:
		for i := range m.Codes {
			m.Codes[i] = byte(g.random.Uint32())
		}
		for i := range m.RowScales {
			m.RowScales[i] = 0.001
		}
		for i := range m.GroupScales {
			m.GroupScales[i] = float16.FromFloat32(0.01)
		}
	}
	return m, err
}

func (g guardedSource) value() float32 { return float32(g.random.NormFloat64() * 0.1) }

// TestPassStaysInside runs whole passes whose sections, pages of the cache, workspaces and logits lie between pages that
// cannot be touched: a kernel that reads or writes outside of them kills the process. The guard's side makes no difference to the
// logits.
func TestPassStaysInside(t *testing.T) {
	for _, set := range kernels.Sets() {
		for _, encoding := range []format.Encoding{format.PanelF32, format.PanelF16, format.PanelInt8, format.PanelInt4} {
			for _, kv := range []kernels.KVEncoding{kernels.KVF32, kernels.KVF16, kernels.KVInt8} {
				t.Run(fmt.Sprint(set.Name(), "/", encoding, "/", kv), func(t *testing.T) {
					var before []float32
					for _, side := range guardtest.Sides {
						logits := guardedLogits(t, set, encoding, kv, side)
						if slices.ContainsFunc(logits, func(v float32) bool { return v != v }) {
							t.Error("the logits are no numbers")
						}
						if before != nil && !slices.Equal(before, logits) {
							t.Errorf("%v: other logits", side)
						}
						before = logits
					}
				})
			}
		}
	}
}

// guardedLogits runs a few passes of two sequences on two threads and returns the last logits.
func guardedLogits(t *testing.T, set *kernels.Set, encoding format.Encoding, kv kernels.KVEncoding, side guardtest.Side) []float32 {
	t.Helper()
	memory := guardtest.New(t, side)
	defer memory.Free()
	// Sizes that fill neither panels nor groups.
	h := &architecture.GPT2{
		Vocabulary: 301, Context: 80, Embedding: 84, Layers: 2, Heads: 3, Hidden: 200,
		Activation: architecture.GELUTanh, Epsilon: 1e-5, ScaleAttention: true, TiedHead: true,
	}
	network, err := forward.Load(h, 0, guardedSource{memory, encoding, rand.New(rand.NewPCG(60, 61))})
	if err != nil {
		t.Fatal(err)
	}
	layout := kernels.NewKVLayout(kv, h.Layers, network.KVHeads, network.HeadWidth, 32)
	threads := pool.New(2)
	defer threads.Close()
	pass := forward.NewPass(network, layout, set, threads.Threads())
	if moved := pass.MoveWorkspaces(memory); moved < 10 {
		t.Fatalf("only %d workspaces have been found", moved)
	}
	pages := func() (pages []kernels.KVPage) {
		for position := 0; position < h.Context; position += layout.Positions {
			pages = append(pages, memory.Bytes(layout.PageBytes()))
		}
		return pages
	}
	first, second := pages(), pages()
	tokens := make([]int32, forward.MaxRows)
	for i := range tokens {
		tokens[i] = int32(i * 37 % h.Vocabulary)
	}
	var logits []float32
	for _, segments := range [][]forward.Segment{
		{{Pages: first, Tokens: tokens[:40], Logits: 1}, {Pages: second, Tokens: tokens[:7], Logits: 7}},
		{{Pages: first, Position: 40, Tokens: tokens[:1], Logits: 1}},
		{{Pages: second, Position: 7, Tokens: tokens[:64], Logits: 3}},
		{{Pages: first, Position: 41, Tokens: tokens[:3], Logits: 3}}, // as many as threads normalize for themselves
		{{Pages: first, Position: 44, Tokens: tokens[:3], Logits: 2}, {Pages: second, Position: 71, Tokens: tokens[:9], Logits: 1}},
	} {
		rows := 0
		for _, s := range segments {
			rows += s.Logits
		}
		logits = guardtest.Copy(memory, make([]float32, rows*format.PaddedRows(h.Vocabulary)))
		pass.Begin(segments, logits)
		pass.MoveWorkspaces(memory) // of attention, which grow with the text
		if err := threads.Run(func(w *pool.Worker) { network.Forward(w, pass) }); err != nil {
			t.Fatal(err)
		}
	}
	if logits[0] == logits[1] {
		t.Error("all logits are the same")
	}
	return slices.Clone(logits)
}
