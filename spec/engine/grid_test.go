package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
)

// gridModels are the models of the grid.
var gridModels = []struct {
	source string
	mode   convert.Options
}{
	{"fable", int8},
	{"families/llama", int4},
	{"families/mistral", f32}, // with a window
	{"families/gemma2", int8}, // with a window in every other layer
}

// story returns the tokens of a text of testdata.
func story(t testing.TB, m *runtime.Model) []int32 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "fable-eval.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, m, string(text[:20_000]))
}

// requests makes requests of all kinds. Many prompts begin alike.
func requests(t testing.TB, m *runtime.Model, random *rand.Rand, count int) []Request {
	t.Helper()
	text, context := story(t, m), m.Shape().Context
	var list []Request
	for len(list) < count {
		length := 1 + random.IntN(24)
		if random.IntN(4) == 0 { // long
			length = 1 + random.IntN(context*3/4)
		}
		beginning := 2000 + random.IntN(len(text)-2000-length)
		prompt := text[beginning:][:length]
		if random.IntN(2) == 0 { // one of a few beginnings, and something of its own
			common := text[random.IntN(3)*97:][:random.IntN(context/3)]
			prompt = append(slices.Clone(common), prompt[:min(len(prompt), 12)]...)
		}
		r := Request{Prompt: prompt, Key: []string{"", "a", "b"}[random.IntN(3)], Limits: []runtime.GenerateOption{runtime.MaxTokens(random.IntN(40))}}
		if random.IntN(8) == 0 { // to the end of the context
			r.Limits = nil
		}
		if random.IntN(2) == 0 {
			r.Limits = append(r.Limits, runtime.IgnoreEOS())
		}
		if random.IntN(3) == 0 {
			r.Limits = append(r.Limits, runtime.Stop(" the ", "and"))
		}
		r.Sampling = []runtime.Sampling{
			{}, {Temperature: 1}, {Temperature: 0.8, TopK: 40, RepetitionPenalty: 1.1}, {Temperature: 1.3, TopP: 0.9}, {Temperature: 1, MinP: 0.05}, {RepetitionPenalty: 1.3},
		}[random.IntN(6)]
		r.Sampling.Seed = random.Uint64()
		if random.IntN(6) == 0 {
			r.Sampling.FrequencyPenalty, r.Sampling.PresencePenalty = 0.4, 0.2
		}
		if random.IntN(6) == 0 {
			r.Sampling.LogitBias = map[int32]float32{random.Int32N(500): 4, random.Int32N(500): -4}
		}
		if random.IntN(6) == 0 {
			r.Limits = append(r.Limits, runtime.MinTokens(random.IntN(30)))
		}
		if random.IntN(6) == 0 {
			r.Limits = append(r.Limits, runtime.Constrain(alternating(m.Shape().Vocabulary, random.Uint64())))
		}
		if random.IntN(5) == 0 {
			r.Logprobs, r.Top = true, random.IntN(4)
		}
		if random.IntN(8) == 0 {
			r.Echo = true
		}
		if random.IntN(5) == 0 {
			r.Choices = 2 + random.IntN(3)
		}
		list = append(list, r)
	}
	return list
}

// alternating allows another half of the tokens after each, by a hash of the text so far.
func alternating(vocabulary int, seed uint64) func() runtime.Allowed {
	return func() runtime.Allowed {
		mask := make(runtime.Mask, (vocabulary+63)/64)
		return func(generated []int32) runtime.Mask {
			hash := seed
			for _, id := range generated {
				hash = ChoiceSeed(hash^uint64(id), 1)
			}
			for i := range mask {
				mask[i] = ChoiceSeed(hash, i+1)
			}
			return mask
		}
	}
}

// checkTogether submits requests at once, or in turns, and compares every choice with what it is alone.
func checkTogether(t *testing.T, e *Engine, list []Request, want [][]written, what string) {
	t.Helper()
	var group sync.WaitGroup
	for i, r := range list {
		stream := submit(t, e, r)
		group.Go(func() {
			for choice, got := range collect(stream, r) {
				if w := want[i][choice]; !got.equal(w) || w.err != nil {
					t.Errorf("%s: request %d, choice %d of a prompt of %d:\n%v\nwant\n%v", what, i, choice, len(r.Prompt), got, w)
				}
			}
		})
	}
	group.Wait()
}

func TestTextsAreThoseAlone(t *testing.T) {
	for i, g := range gridModels {
		t.Run(fmt.Sprint(g.source, " ", g.mode.Mode), func(t *testing.T) {
			m := open(t, g.source, g.mode, runtime.WithThreads(runtime.NewThreads(2)))
			list := requests(t, m, rand.New(rand.NewPCG(1, uint64(i))), 24)
			want := make([][]written, len(list))
			for j, r := range list {
				want[j] = alone(t, m, r)
			}
			for _, texts := range []int{4, 24} {
				e := start(t, m, Options{Texts: texts})
				checkTogether(t, e, list, want, fmt.Sprint(texts, " texts at once"))
				e.Close()
				if taken := m.KVTaken(); taken != 0 {
					t.Errorf("%d bytes of pages stay taken", taken)
				}
			}
		})
	}
}
