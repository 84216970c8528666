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
	"github.com/tti-llm/tti/kernels"
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
			common := text[random.IntN(2)*97:][:random.IntN(context/3)]
			prompt = append(slices.Clone(common), prompt[:min(len(prompt), 12)]...)
		}
		r := Request{Prompt: prompt, Key: []string{"", "", "", "", "a", "b"}[random.IntN(6)], Limits: []runtime.GenerateOption{runtime.MaxTokens(random.IntN(40))}}
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

// gridEnvironment is the variable that makes TestGrid run all of its combinations.
const gridEnvironment = "TTI_SERVE_GRID"

// troubles are what can happen to texts under load.
var troubles = []struct {
	name string
	Options
	draft    bool // guess with a model
	pages    int  // of the pool; 0: no limit
	every    int  // steps between troubles
	trouble  func(e *Engine, random *rand.Rand)
	happened func(s Statistics) bool // nil: it may or may not
}{
	{name: "alone in time", Options: Options{Texts: 4}, happened: func(s Statistics) bool { return s.Prefixes.Found > 0 }},
	{name: "without a cache", Options: Options{Prefixes: -1}, happened: func(s Statistics) bool { return s.Prefixes.Lookups == 0 }},
	{name: "with a cache", happened: func(s Statistics) bool { return s.Prefixes.Found > 0 }},
	{name: "evicted", every: 2, trouble: func(e *Engine, random *rand.Rand) {
		for range random.IntN(3) {
			e.prefixes.evict()
		}
	}, happened: func(s Statistics) bool { return s.Prefixes.Evicted > 0 }},
	// A text alone comes back in as many steps as its context has full passes.
	{name: "preempted", every: 9, trouble: func(e *Engine, random *rand.Rand) {
		if len(e.texts) > 0 {
			e.preempt(e.texts[random.IntN(len(e.texts))])
		}
	}, happened: func(s Statistics) bool { return s.Preemptions > 5 }},
	{name: "a small pool", pages: 20, happened: func(s Statistics) bool { return s.Preemptions+s.Prefixes.Evicted > 0 }},
	{name: "n-gram", Options: Options{NGram: true, eager: true}, happened: func(s Statistics) bool { return s.Accepted > 0 && s.Accepted < s.Drafted }},
	{name: "draft model", draft: true, Options: Options{eager: true}, happened: func(s Statistics) bool { return s.Accepted > 0 && s.Accepted < s.Drafted }},
	{name: "drafts that pay", draft: true, Options: Options{NGram: true}},
	{name: "all at once", draft: true, Options: Options{NGram: true, eager: true, Texts: 8}, pages: 24, every: 11, trouble: func(e *Engine, random *rand.Rand) {
		e.prefixes.evict()
		if len(e.texts) > 0 {
			e.preempt(e.texts[random.IntN(len(e.texts))])
		}
	}, happened: func(s Statistics) bool { return s.Accepted > 0 && s.Preemptions > 0 }},
	{name: "long steps", Options: Options{Stretch: 1000, Texts: 64}, happened: func(s Statistics) bool { return s.Prefixes.Found > 0 }},
}

// TestGrid compares every choice of requests of all kinds, run together, with what it is alone on one thread: for models of all
// kinds, encodings of keys and values, kernels, numbers of threads and troubles. It is all combinations where TTI_SERVE_GRID
// is set, a sample of them otherwise.
func TestGrid(t *testing.T) {
	full := os.Getenv(gridEnvironment) != ""
	count, sample, turn, compared := 200, 1, 0, 0
	switch {
	case full:
	case testing.Short():
		count, sample = 10, 29
	default:
		count, sample = 20, 29 // no divisor in common with the numbers of ways, so that all have their turn
	}
	turns := map[string]int{} // of troubles, kernels and numbers of threads
	for i, g := range gridModels {
		for _, encoding := range []runtime.KV{runtime.F32, runtime.F16, runtime.Int8} {
			t.Run(fmt.Sprint(g.source, " ", g.mode.Mode, " ", encoding), func(t *testing.T) {
				reference := open(t, g.source, g.mode, runtime.WithKV(encoding), runtime.WithThreads(runtime.NewThreads(1)))
				random := rand.New(rand.NewPCG(uint64(i), uint64(encoding)))
				list := requests(t, reference, random, count)
				expected := sync.OnceValue(func() (want [][]written) {
					for _, r := range list {
						want = append(want, alone(t, reference, r))
					}
					return want
				})
				for _, set := range kernels.Sets() {
					for threads := 1; threads <= 2; threads++ {
						for _, trouble := range troubles {
							if turn++; turn%sample != 0 || testing.Short() && set.Name() == "go" && len(kernels.Sets()) > 1 {
								continue
							}
							turns[trouble.name]++
							turns[set.Name()]++
							turns[fmt.Sprint(threads, " threads")]++
							some := len(list)
							if set.Name() == "go" { // slow
								some = min(some, count/5)
							}
							options := []runtime.Option{runtime.WithKV(encoding), runtime.WithThreads(runtime.NewThreads(threads)), runtime.WithKernels(set.Name())}
							if trouble.pages > 0 {
								options = append(options, pages(t, g.source, encoding, trouble.pages))
							}
							m := open(t, g.source, g.mode, options...)
							o := trouble.Options
							if trouble.draft {
								o.Draft = open(t, g.source, int4All, runtime.WithKernels(set.Name()))
							}
							if trouble.trouble != nil {
								steps := 0
								o.interfere = func(e *Engine) {
									if steps++; steps%trouble.every == 0 {
										trouble.trouble(e, random)
									}
								}
							}
							e := start(t, m, o)
							what := fmt.Sprintf("%s, %d threads, %s", set.Name(), threads, trouble.name)
							checkTogether(t, e, list[:some], expected(), what)
							s := e.Statistics()
							if e.Close(); some >= 20 && trouble.happened != nil && !trouble.happened(s) {
								t.Errorf("%s: it did not happen: %+v", what, s)
							}
							if m.KVTaken() != 0 {
								t.Errorf("%s: %d bytes of pages stay taken", what, m.KVTaken())
							}
							compared += some
							m.Close()
						}
					}
				}
			})
		}
	}
	t.Logf("%d requests compared, turns %v", compared, turns)
	if want := len(troubles) + len(kernels.Sets()) + 2; !testing.Short() && len(turns) != want {
		t.Errorf("%d ways had their turn, there are %d: %v", len(turns), want, turns)
	}
}
