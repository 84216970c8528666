package spec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/tti-llm/tti/runtime"
)

// gridEnvironment is the variable that makes TestSameTokens run its whole grid.
const gridEnvironment = "TTI_SPEC_GRID"

var samplings = []struct {
	name string
	runtime.Sampling
}{
	{"greedy", runtime.Sampling{}},
	{"temperature 0.7 top-k 40", runtime.Sampling{Temperature: 0.7, TopK: 40}},
	{"temperature 1 top-p 0.95", runtime.Sampling{Temperature: 1, TopP: 0.95}},
}

// written is everything that can be seen of a generated text.
type written struct {
	tokens []runtime.Token
	finish runtime.FinishReason
	err    error
}

func (w written) equal(other written) bool {
	return slices.Equal(w.tokens, other.tokens) && w.finish == other.finish && fmt.Sprint(w.err) == fmt.Sprint(other.err)
}

// plainly decodes without a draft.
func plainly(target *runtime.Model, prompt []int32, sampling runtime.Sampling, options ...runtime.GenerateOption) (w written) {
	var outcome runtime.Outcome
	for token, err := range target.Generate(context.Background(), prompt, sampling, append(options, runtime.Report(&outcome))...) {
		if w.err = err; err == nil {
			w.tokens = append(w.tokens, token)
		}
	}
	w.finish = outcome.Finish
	return w
}

// speculatively decodes with a draft, and checks the counts.
func speculatively(t *testing.T, d *Decoder, prompt []int32, sampling runtime.Sampling, options ...runtime.GenerateOption) (w written) {
	t.Helper()
	var outcome runtime.Outcome
	origins := map[Origin]int{}
	for token, err := range d.Generate(context.Background(), prompt, sampling, append(options, runtime.Report(&outcome))...) {
		if w.err = err; err == nil {
			w.tokens = append(w.tokens, token.Token)
			origins[token.Origin]++
		}
	}
	w.finish = outcome.Finish
	s := d.Statistics()
	for origin, n := range origins {
		if s.ByOrigin[origin] != n {
			t.Errorf("%d tokens come from the %s, the statistics say %d", n, origin, s.ByOrigin[origin])
		}
	}
	if s.Tokens != len(w.tokens) || s.Tokens != outcome.Tokens || s.Accepted != s.Tokens-origins[FromTarget] ||
		s.Drafted < s.Accepted+s.Rejected || s.Drafts < s.Rejected || s.TargetPasses < origins[FromTarget] {
		t.Errorf("%d tokens, statistics %+v", len(w.tokens), s)
	}
	return w
}

// TestSameTokens compares texts with those of plain decoding: all combinations of target, drafter,
// sampling, draft length, prompt and seed where TTI_SPEC_GRID is set, a sample of them otherwise.
func TestSameTokens(t *testing.T) {
	full := os.Getenv(gridEnvironment) != ""
	seeds, sample, turn, compared := 3, 1, 0, 0
	if !full {
		seeds, sample = 1, 61 // no divisor in common with the 45 ways to draft, so that all have their turn
	}
	for _, target := range []*runtime.Model{model(t, "fable", f32), model(t, "fable", int8)} {
		for _, sampling := range samplings {
			t.Run(target.Meta().Mode+" "+sampling.name, func(t *testing.T) {
				for i, line := range prompts(t) {
					prompt := encode(t, target, line)
					for seed := range seeds {
						sampling.Seed = uint64(seeds*i + seed)
						plain := sync.OnceValue(func() written { return plainly(target, prompt, sampling.Sampling, runtime.MaxTokens(48)) })
						for _, kind := range kinds {
							for length := range 9 { // 0: adaptive
								if turn++; turn%sample != 0 {
									continue
								}
								compared++
								d := decoder(t, target, kind.drafters(t, target)...)
								d.Length = length
								got, want := speculatively(t, d, prompt, sampling.Sampling, runtime.MaxTokens(48)), plain()
								if !got.equal(want) || want.err != nil {
									t.Errorf("%q, seed %d, %s of length %d:\n%v\nwant\n%v", line, sampling.Seed, kind.name, length, got, want)
								}
							}
						}
					}
				}
			})
		}
	}
	t.Logf("%d texts compared", compared)
}

// kinds are ways to draft.
var kinds = []struct {
	name     string
	drafters func(t testing.TB, target *runtime.Model) []Drafter
}{
	{"int4 draft", func(t testing.TB, target *runtime.Model) []Drafter {
		return []Drafter{drafter(t, model(t, "fable-draft", int4All), target)}
	}},
	{"f32 draft", func(t testing.TB, target *runtime.Model) []Drafter {
		return []Drafter{drafter(t, model(t, "fable-draft", f32), target)}
	}},
	{"random draft", func(t testing.TB, target *runtime.Model) []Drafter {
		return []Drafter{drafter(t, model(t, "random", f32), target)}
	}},
	{"n-gram", func(testing.TB, *runtime.Model) []Drafter {
		return []Drafter{&NGram{MinMatch: 1}}
	}},
	{"n-gram and int4 draft", func(t testing.TB, target *runtime.Model) []Drafter {
		return []Drafter{&NGram{}, drafter(t, model(t, "fable-draft", int4All), target)}
	}},
}

// TestFamiliesGiveTheSameTokens drafts for a model of every family with the same model in its fewest bits, and with n-grams.
func TestFamiliesGiveTheSameTokens(t *testing.T) {
	for i, family := range []string{
		"llama", "llama-scaled", "llama-linear", "mistral", "qwen2", "qwen3", "phi3", "phi3-longrope", "smollm3", "gemma2", "gemma3", "granite", "olmo2",
	} {
		source := filepath.Join("families", family)
		target, draft := model(t, source, int8), model(t, source, int4All)
		accepted := 0
		for j, sampling := range samplings {
			sampling.Seed = uint64(i)
			prompt := encode(t, target, "Once upon a time there was a king")
			want := plainly(target, prompt, sampling.Sampling, runtime.MaxTokens(40), runtime.IgnoreEOS())
			for _, drafters := range [][]Drafter{{drafter(t, draft, target)}, {drafter(t, model(t, source, f32), target)}, {&NGram{MinMatch: 1}}} {
				d := decoder(t, target, drafters...)
				d.Length = 2 + j
				got := speculatively(t, d, prompt, sampling.Sampling, runtime.MaxTokens(40), runtime.IgnoreEOS())
				if !got.equal(want) || want.err != nil || len(want.tokens) < 40 {
					t.Errorf("%s, %s:\n%v\nwant\n%v", family, sampling.name, got, want)
				}
				accepted += d.Statistics().Accepted
			}
		}
		if accepted == 0 {
			t.Errorf("%s: no guess was right", family)
		}
	}
}
