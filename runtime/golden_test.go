package runtime_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/tti-llm/tti/convert"
)

var goldenModels = []string{"fable", "fable-draft"}

// TestLogitsMatchReference holds every logit of every prompt position of the f32 files to 2e-3.
func TestLogitsMatchReference(t *testing.T) {
	for _, name := range goldenModels {
		t.Run(name, func(t *testing.T) {
			g := loadGolden(t, name)
			m := open(t, modelFile(t, name, convert.Options{Mode: convert.F32}))
			worst := 0.0
			for _, c := range g.Cases {
				all, err := session(t, m).AppendAll(c.IDs)
				if err != nil {
					t.Fatal(err)
				}
				for i, logits := range all {
					want := g.logits[(c.LogitsRow+i)*g.VocabularySize:][:g.VocabularySize]
					for id, logit := range logits {
						worst = max(worst, math.Abs(float64(logit-want[id])))
					}
				}
			}
			if t.Logf("worst difference %.2g", worst); !(worst < 2e-3) {
				t.Errorf("worst difference %v", worst)
			}
		})
	}
}

// TestGreedyMatchesReference compares greedy continuations. A step whose two best logits lie closer
// than 4e-3 is a tie: there the reference's token is fed and the comparison goes on.
func TestGreedyMatchesReference(t *testing.T) {
	for _, name := range goldenModels {
		t.Run(name, func(t *testing.T) {
			g := loadGolden(t, name)
			m := open(t, modelFile(t, name, convert.Options{Mode: convert.F32}))
			ties := 0
			greedy, err := m.NewSampler(runtime.Sampling{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range g.Cases {
				ids, err := m.Tokenizer().Encode(c.Prompt)
				if err != nil || !equalIDs(ids, c.IDs) {
					t.Fatalf("%q encodes to %v (%v), want %v", c.Prompt, ids, err, c.IDs)
				}
				s, next := session(t, m), ids
				for i, want := range c.GreedyIDs {
					logits, err := s.Append(next)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := greedy.Draw(logits, nil); err != nil || got != want {
						if ties++; c.GreedyGap[i] >= 4e-3 {
							t.Fatalf("%q: step %d gives %d, want %d; gap %v", c.Prompt, i, got, want, c.GreedyGap[i])
						}
					}
					next = []int32{want}
				}
				if text, err := m.Tokenizer().Decode(c.GreedyIDs); err != nil || text != c.GreedyText {
					t.Errorf("continuation decodes to %q (%v), want %q", text, err, c.GreedyText)
				}
			}
			t.Logf("%d ties went the other way", ties)
		})
	}
}

func equalIDs(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func evaluate(t *testing.T, m *runtime.Model) runtime.Score {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "golden", "fable-eval.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := m.Tokenizer().Encode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	score, err := m.Evaluate(context.Background(), ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	return score
}

// TestPerplexityMatchesReference holds f32 to 0.01 % of the reference and int8 to 1 % of that.
func TestPerplexityMatchesReference(t *testing.T) {
	if testing.Short() {
		t.Skip("runs 72,000 tokens")
	}
	for _, name := range goldenModels {
		want := loadGolden(t, name).Eval
		for _, c := range []struct {
			mode      convert.Options
			tolerance float64
		}{{convert.Options{Mode: convert.F32}, 1e-4}, {convert.Options{Mode: convert.F16}, 1e-3}, {convert.Options{Mode: convert.Int8}, 1e-2}} {
			got := evaluate(t, open(t, modelFile(t, name, c.mode)))
			if got.Tokens != want.Tokens || got.Scored != want.Scored {
				t.Errorf("%s %s: %d tokens, %d scored; want %d and %d", name, c.mode.Mode, got.Tokens, got.Scored, want.Tokens, want.Scored)
			}
			difference := got.Perplexity/want.Perplexity - 1
			if t.Logf("%s %s: perplexity %.4f (%+.4f %%)", name, c.mode.Mode, got.Perplexity, 100*difference); !(math.Abs(difference) < c.tolerance) {
				t.Errorf("%s %s: perplexity %v, want %v", name, c.mode.Mode, got.Perplexity, want.Perplexity)
			}
		}
	}
}

// TestInt8CacheKeepsQuality holds the rise of perplexity through a KV cache of int8, beside that through
// the weights, to 0.15 %.
func TestInt8CacheKeepsQuality(t *testing.T) {
	if testing.Short() {
		t.Skip("runs 24,000 tokens")
	}
	path := modelFile(t, "fable", convert.Options{Mode: convert.Int8})
	exact, int8 := evaluate(t, open(t, path, runtime.WithKV(runtime.F32))), evaluate(t, open(t, path, runtime.WithKV(runtime.Int8)))
	if rise := int8.Perplexity/exact.Perplexity - 1; !(math.Abs(rise) < 0.0015) || rise == 0 {
		t.Errorf("perplexity %v, with float32 %v: %+.3f %%", int8.Perplexity, exact.Perplexity, 100*rise)
	}
}
