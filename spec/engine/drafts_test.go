package engine

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/forward"
	"github.com/tti-llm/tti/spec"
	"github.com/tti-llm/tti/spec/luck"
)

// machine is an engine without a scheduler, whose passes take as long as cost says.
func machine(cost func(rows int) float64) *Engine {
	e := &Engine{options: Options{NGram: true}.withDefaults()}
	e.guesser = newGuesser(e.options)
	for rows := 1; rows <= forward.MaxRows; rows++ {
		e.curve.add(rows, cost(rows))
	}
	return e
}

// TestRowsGoToTheLikeliest compares the choice of guesses with the best of all choices.
func TestRowsGoToTheLikeliest(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	chosen := 0
	for range 300 {
		slope, bend := random.Float64(), random.Float64()*0.05
		cost := func(rows int) float64 { return 10 + slope*float64(rows) + bend*float64(rows*rows) }
		e := machine(cost)
		var candidates []*candidate
		for class := range 3 {
			e.guesser.classes[class].Chance = luck.Chance{Right: random.Float64(), Tried: 1}
			candidates = append(candidates, &candidate{row: &rows{text: &text{}, tokens: []int32{1}}, draft: make([]int32, random.IntN(5)), class: class})
		}
		plain := value{float64(3 + random.IntN(20)), cost(3)}
		plain.seconds = cost(int(plain.tokens))
		best := plain
		var lengths [3]int
		for lengths[0] = range len(candidates[0].draft) + 1 {
			for lengths[1] = range len(candidates[1].draft) + 1 {
				for lengths[2] = range len(candidates[2].draft) + 1 {
					v := plain
					for i, length := range lengths {
						rate := e.guesser.classes[i].Rate()
						for k := range length {
							v.tokens += math.Pow(rate, float64(k+1))
						}
					}
					v.seconds = cost(int(plain.tokens) + lengths[0] + lengths[1] + lengths[2])
					if v.tokens/v.seconds > best.tokens/best.seconds {
						best = v
					}
				}
			}
		}
		got := e.chooseLookedUp(candidates, plain)
		if ratio := got.tokens / got.seconds / (best.tokens / best.seconds); math.Abs(ratio-1) > 1e-9 {
			t.Fatalf("chose %+v of %+v, the best is %+v", got, candidates, best)
		}
		for _, c := range candidates {
			chosen += len(c.row.draft)
		}
	}
	if chosen == 0 {
		t.Error("no guess was worth it")
	}
}

// repeating returns a text of a model that repeats itself, so that there is always something to look up.
func repeating(t *testing.T, m *runtime.Model) *text {
	t.Helper()
	prompt := make([]int32, 40)
	for i := range prompt {
		prompt[i] = int32(i % 5)
	}
	made, err := newText(m, &job{Request: Request{Prompt: prompt}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestDraftsFade lets more and more texts have good guesses: beside few of them there are many, beside many there are none,
// because a row costs then what it brings.
func TestDraftsFade(t *testing.T) {
	m := open(t, "fable-draft", int4)
	previous := math.Inf(1)
	for _, texts := range []int{1, 4, 16, 60} {
		e := machine(func(rows int) float64 { return 10 + float64(rows) })
		e.model = m
		for i := range e.guesser.classes {
			e.guesser.classes[i].Chance = luck.Chance{Right: 70, Tried: 100}
		}
		for range texts {
			made := repeating(t, m)
			e.plan = append(e.plan, rows{text: made, tokens: made.tokens[39:], logits: 1})
		}
		e.planDrafts()
		guesses := 0.0
		for _, r := range e.plan {
			guesses += float64(len(r.draft)) / float64(texts)
		}
		if guesses >= previous && previous > 0 || texts == 1 && guesses < 2 || texts == 60 && guesses > 0 {
			t.Errorf("%d texts: %v guesses each, before %v", texts, guesses, previous)
		}
		previous = guesses
	}
}

// TestHopelessDrafts has guesses that are always wrong, on machines of all kinds: that costs little in sum.
func TestHopelessDrafts(t *testing.T) {
	m := open(t, "fable-draft", int4)
	for _, texts := range []int{1, 4, 16} {
		for _, slope := range []float64{0.05, 0.5, 5} {
			cost := func(rows int) float64 { return 10 + slope*float64(rows) }
			e := machine(cost)
			e.model = m
			for range texts {
				made := repeating(t, m)
				e.plan = append(e.plan, rows{text: made})
			}
			took, plain, drafted := 0.0, 0.0, 0
			for range 1000 {
				count := 0
				for i := range e.plan {
					made := e.plan[i].text
					e.plan[i] = rows{text: made, tokens: made.tokens[39:], logits: 1}
				}
				e.planDrafts()
				for i := range e.plan {
					count += len(e.plan[i].tokens)
					drafted += len(e.plan[i].draft)
					e.plan[i].text.drawn = []Token{{Token: runtime.Token{ID: 99}}}
				}
				e.curve.add(count, cost(count))
				took, plain = took+cost(count), plain+cost(texts)
				e.learnDrafts()
			}
			if drafted == 0 || took > 1.03*plain {
				t.Errorf("%d texts, %v a row: %d guesses cost %.1f %%", texts, slope, drafted, 100*(took/plain-1))
			}
		}
	}
}

// TestDraftModelPays runs texts on machines whose passes take as long as they are told to: with a draft model that is cheap and
// often right, texts that are few are faster, many never slower; with one that is hopeless or dear, none is slower by more than
// 3 %. Texts stay what they are.
func TestDraftModelPays(t *testing.T) {
	if testing.Short() {
		t.Skip("many tokens")
	}
	target := open(t, "fable", int8)
	text := story(t, target)
	good, fair, hopeless := open(t, "fable", int4All), open(t, "fable-draft", int4All), random(t)
	for _, c := range []struct {
		name            string
		draft           *runtime.Model
		texts           int
		row, guess, per float64 // costs of a row beside 10 for a pass; of a pass of the draft and of its rows
		contrary        bool    // the target draws tokens that no draft has
		atMost          float64 // of the time without drafts
		wantDrafts      bool
	}{
		{name: "cheap, one text", draft: good, texts: 1, row: 0.3, guess: 1, per: 0.1, atMost: 0.6, wantDrafts: true},
		{name: "cheap, four texts", draft: good, texts: 4, row: 0.3, guess: 1, per: 0.1, atMost: 0.8, wantDrafts: true},
		{name: "rows cost what they bring", draft: good, texts: 16, row: 10, guess: 1, per: 5, atMost: 1.03},
		{name: "dear", draft: good, texts: 2, row: 0.3, guess: 30, per: 1, atMost: 1.05},
		{name: "fair, many", draft: fair, texts: 16, row: 1, guess: 3, per: 0.3, atMost: 1.03},
		{name: "hopeless", draft: hopeless, texts: 1, row: 0.3, guess: 1, per: 0.1, atMost: 1.03},
		{name: "hopeless, many", draft: hopeless, texts: 16, row: 0.3, guess: 1, per: 0.1, atMost: 1.03},
	} {
		var list []Request
		var want [][]written
		for i := range c.texts {
			r := Request{Prompt: text[50*i:][:30], Limits: []runtime.GenerateOption{runtime.MaxTokens(300), runtime.IgnoreEOS()}}
			list, want = append(list, r), append(want, alone(t, target, r))
		}
		run := func(draft *runtime.Model) (seconds float64, s Statistics) {
			e := start(t, target, Options{Draft: draft, Prefixes: -1, cost: func(m *runtime.Model, rows int) float64 {
				cost := c.guess + c.per*float64(rows)
				if m == target {
					cost = 10 + c.row*float64(rows)
				}
				seconds += cost
				return cost
			}})
			checkTogether(t, e, list, want, c.name)
			s = e.Statistics()
			e.Close()
			return seconds, s
		}
		plain, _ := run(nil)
		drafted, s := run(c.draft)
		t.Logf("%s: %.3f of the time, %d drafted, %d accepted of %d tokens", c.name, drafted/plain, s.Drafted, s.Accepted, s.Tokens)
		if drafted > c.atMost*plain || c.wantDrafts != (s.Accepted > s.Tokens/10) {
			t.Errorf("%s: %.3f of the time without drafts, want at most %v; %+v", c.name, drafted/plain, c.atMost, s)
		}
	}
}

// random returns a model with random weights and the vocabulary of the fable models.
func random(t *testing.T) *runtime.Model {
	t.Helper()
	directory, path := t.TempDir(), filepath.Join(t.TempDir(), "random.tti")
	shape := synthetic.Model{Vocabulary: 2048, Context: 512, Embedding: 64, Layers: 1, Heads: 1, Seed: 3}
	if err := synthetic.Write(context.Background(), directory, shape); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"vocab.json", "merges.txt"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "fable", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(directory, file), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := convert.Convert(context.Background(), directory, path, convert.Options{Mode: convert.Int8, NoSync: true}); err != nil {
		t.Fatal(err)
	}
	m, err := runtime.Open(path, runtime.WithoutVerify())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestOrigins counts the tokens that are said to be of a draft: as many as there were right guesses, of drafts that there are.
func TestOrigins(t *testing.T) {
	target, draft := open(t, "fable-draft", int8), open(t, "fable-draft", int4)
	text := story(t, target)
	for _, c := range []struct {
		name string
		Options
		none []spec.Origin
		some []spec.Origin
	}{
		{"plain", Options{eager: true}, []spec.Origin{spec.FromNGram, spec.FromDraft}, []spec.Origin{spec.FromTarget}},
		{"n-gram", Options{NGram: true, eager: true}, []spec.Origin{spec.FromDraft}, []spec.Origin{spec.FromTarget, spec.FromNGram}},
		{"draft", Options{Draft: draft, eager: true}, []spec.Origin{spec.FromNGram}, []spec.Origin{spec.FromTarget, spec.FromDraft}},
		{"both", Options{NGram: true, Draft: draft, eager: true}, nil, []spec.Origin{spec.FromTarget, spec.FromNGram, spec.FromDraft}},
	} {
		e := start(t, target, c.Options)
		stream := submit(t, e, Request{Prompt: slices.Repeat(text[:20], 5), Choices: 2, Sampling: runtime.Sampling{Temperature: 0.3}, Limits: []runtime.GenerateOption{runtime.MaxTokens(150), runtime.IgnoreEOS()}})
		counts := make([]map[spec.Origin]int, 2)
		for i := range counts {
			counts[i] = map[spec.Origin]int{}
		}
		for token, err := range stream.Tokens() {
			if err != nil {
				t.Fatal(err)
			}
			counts[token.Choice][token.Origin]++
		}
		for i, outcome := range stream.Outcomes() {
			guessed := counts[i][spec.FromNGram] + counts[i][spec.FromDraft]
			if guessed != outcome.Accepted || guessed+counts[i][spec.FromTarget] != 150 {
				t.Errorf("%s: choice %d: %v, of which %d were right guesses", c.name, i, counts[i], outcome.Accepted)
			}
		}
		for _, origin := range c.none {
			if counts[0][origin]+counts[1][origin] > 0 {
				t.Errorf("%s: %v: some of %s", c.name, counts, origin)
			}
		}
		for _, origin := range c.some {
			if counts[0][origin]+counts[1][origin] == 0 {
				t.Errorf("%s: %v: none of %s", c.name, counts, origin)
			}
		}
	}
}
