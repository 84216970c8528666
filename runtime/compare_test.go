package runtime_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/tti-llm/tti/convert"
)

// compared returns a model in full precision, the same in four bits, and a text of several windows.
func compared(t *testing.T) (reference, model *runtime.Model, ids []int32) {
	t.Helper()
	reference = open(t, modelFile(t, "fable-draft", convert.Options{Mode: convert.F32}))
	model = open(t, modelFile(t, "fable-draft", convert.Options{Mode: convert.Int4, Int4: convert.All}), runtime.WithThreads(reference.Threads()))
	ids, err := reference.Tokenizer().Encode(strings.Repeat("Once upon a time there was a wolf who lived by the river. ", 60))
	if err != nil {
		t.Fatal(err)
	}
	return reference, model, ids
}

// TestCompareAgainstDefinition computes everything anew from probabilities, with sums of their own.
func TestCompareAgainstDefinition(t *testing.T) {
	reference, model, ids := compared(t)
	got, err := runtime.Compare(t.Context(), reference, model, ids, 5, nil)
	if err != nil {
		t.Fatal(err)
	}
	probabilities := func(m *runtime.Model, window []int32) (all [][]float64) {
		s := m.NewSession()
		for _, id := range window[:len(window)-1] {
			logits, err := s.Append([]int32{id})
			if err != nil {
				t.Fatal(err)
			}
			row, sum := make([]float64, len(logits)), 0.0
			for i, x := range logits {
				row[i] = math.Exp(float64(x))
				sum += row[i]
			}
			for i := range row {
				row[i] /= sum
			}
			all = append(all, row)
		}
		return all
	}
	best := func(row []float64) int { return slices.Index(row, slices.Max(row)) }
	var divergences []float64
	agreed := 0
	for window := range slices.Chunk(ids, reference.Shape().Context) {
		p, q := probabilities(reference, window), probabilities(model, window)
		for i := range p {
			divergence := 0.0
			for id := range p[i] {
				divergence += p[i][id] * math.Log(p[i][id]/q[i][id])
			}
			divergences = append(divergences, divergence)
			if best(p[i]) == best(q[i]) {
				agreed++
			}
		}
	}
	mean := 0.0
	for _, d := range divergences {
		mean += d / float64(len(divergences))
	}
	agreement := float64(agreed) / float64(len(divergences))
	if math.Abs(got.Divergence-mean) > 1e-9 || math.Abs(got.Agreement-agreement) > 1e-12 || got.Agreement == 1 {
		t.Errorf("divergence %v and agreement %v, want %v and %v", got.Divergence, got.Agreement, mean, agreement)
	}
	slices.Sort(divergences)
	slices.Reverse(divergences)
	for i, worst := range got.Worst {
		if math.Abs(worst.Divergence-divergences[i]) > 1e-9 || worst.Token != ids[worst.Position] {
			t.Errorf("worst %d: %+v, want a divergence of %v", i, worst, divergences[i])
		}
	}
	a, errA := reference.Evaluate(t.Context(), ids, nil)
	b, errB := model.Evaluate(t.Context(), ids, nil)
	if errA != nil || errB != nil || got.Reference != a || got.Model != b || got.Rise != b.Perplexity/a.Perplexity-1 || len(got.Worst) != 5 {
		t.Errorf("scores %+v and %+v, want %+v and %+v (%v, %v)", got.Reference, got.Model, a, b, errA, errB)
	}
}

func TestCompareWithItself(t *testing.T) {
	reference, _, ids := compared(t)
	c, err := runtime.Compare(t.Context(), reference, reference, ids, 1, nil)
	if err != nil || c.Divergence != 0 || c.Agreement != 1 || c.Rise != 0 || c.Worst[0].Divergence != 0 {
		t.Errorf("%+v (%v)", c, err)
	}
}

func TestCompareRefuses(t *testing.T) {
	reference, model, ids := compared(t)
	other := open(t, filepath.Join("..", "testdata", "version1", "tiny-f32.tti"))
	if _, err := runtime.Compare(t.Context(), reference, other, ids, 0, nil); !errors.Is(err, runtime.ErrMismatch) {
		t.Error(err)
	}
	if _, err := runtime.Compare(t.Context(), reference, model, ids[:1], 0, nil); !errors.Is(err, runtime.ErrEmpty) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runtime.Compare(ctx, reference, model, ids, 0, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
