package engine

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/forward"
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
