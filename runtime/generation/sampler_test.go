package generation

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/kernels"
)

func sampler(t *testing.T, s Sampling) *Sampler {
	t.Helper()
	out, err := NewSampler(kernels.Sets()[0], s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func draw(t *testing.T, s *Sampler, logits []float32, preceding []int32) int32 {
	t.Helper()
	id, err := s.Draw(logits, preceding)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// keptBySorting is what the filters leave, by their definitions, with everything sorted first.
func keptBySorting(s Sampling, logits []float32) []int32 {
	ids := make([]int32, len(logits))
	for i := range ids {
		ids[i] = int32(i)
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		if logits[a] != logits[b] {
			return map[bool]int{true: -1, false: 1}[logits[a] > logits[b]]
		}
		return int(a - b)
	})
	if s.TopK > 0 {
		ids = ids[:min(s.TopK, len(ids))]
	}
	probability := func(id int32) float64 {
		return math.Exp((float64(logits[id]) - float64(logits[ids[0]])) / s.Temperature)
	}
	if s.TopP > 0 && s.TopP < 1 {
		total, reached := 0.0, 0.0
		for _, id := range ids {
			total += probability(id)
		}
		for i, id := range ids {
			if reached += probability(id); reached >= s.TopP*total {
				ids = ids[:i+1]
				break
			}
		}
	}
	kept := ids[:0:0]
	for _, id := range ids {
		if probability(id) >= s.MinP {
			kept = append(kept, id)
		}
	}
	slices.Sort(kept)
	return kept
}

func TestFiltersKeepWhatTheirDefinitionsSay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		logits := make([]float32, 1+random.IntN(300))
		for i := range logits {
			logits[i] = float32(random.IntN(40)) / 4 // many ties
		}
		settings := Sampling{
			Temperature: []float64{0.3, 1, 2.5}[random.IntN(3)], TopK: []int{0, 1, 7, 40, 1000}[random.IntN(5)],
			TopP: []float64{0, 1, 0.5, 0.937, 0.01}[random.IntN(5)], MinP: []float64{0, 0.03, 0.3}[random.IntN(3)],
		}
		s := sampler(t, settings)
		id := draw(t, s, logits, nil)
		s.keep(logits, slices.Max(logits))
		kept := slices.Sorted(slices.Values(s.ids))
		if want := keptBySorting(settings, logits); !slices.Equal(kept, want) {
			t.Fatalf("%+v of %v keeps %v, want %v", settings, logits, kept, want)
		}
		if !slices.Contains(kept, id) {
			t.Fatalf("%+v draws %d, which is not among %v", settings, id, kept)
		}
	}
}

// drawByDefinition is a draw that computes the sum of every token that the filters leave. The
// margin is that to the next best.
func drawByDefinition(s Sampling, logits []float32, position int) (id int32, margin float64) {
	highest := float64(slices.Max(logits)) / s.Temperature
	best, second := math.Inf(-1), math.Inf(-1)
	n := newNoise(s.Seed, position)
	for _, one := range keptBySorting(s, logits) {
		sum := float64(logits[one])/s.Temperature - highest + gumbel(n.random(one))
		if sum > best {
			id, best, second = one, sum, best
		} else {
			second = max(second, sum)
		}
	}
	return id, best - second
}

// TestBoundsSpareNothing compares draws, and margins, with those by definition, at temperatures of any
// size and with ties.
func TestBoundsSpareNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for position := range 150 {
		logits := normalLogits(random, 20+random.IntN(3000))
		if position%3 == 0 {
			for i := range logits {
				logits[i] = float32(math.Round(float64(logits[i])))
			}
		}
		for _, settings := range []Sampling{{}, {TopK: 2}, {TopK: 13}, {TopK: 40}, {TopK: 200}, {TopP: 0.9}, {MinP: 0.05}, {TopK: 50, TopP: 0.8, MinP: 0.01}} {
			settings.Temperature = []float64{1e-9, 0.1, 0.8, 1, 3, 1e6}[random.IntN(6)]
			settings.Seed = uint64(position)
			s := sampler(t, settings)
			preceding := make([]int32, position)
			want, wantMargin := drawByDefinition(settings, logits, position)
			id, margin, err := s.DrawMargin(logits, preceding)
			if err != nil || id != want || margin != min(wantMargin, LargestMargin) {
				t.Fatalf("%+v of %d at %d: %d with %v (%v), want %d with %v", settings, len(logits), position, id, margin, err, want, wantMargin)
			}
			if id := draw(t, s, logits, preceding); id != want {
				t.Fatalf("%+v of %d at %d: %d, want %d", settings, len(logits), position, id, want)
			}
		}
	}
}

func normalLogits(random *rand.Rand, n int) []float32 {
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(random.NormFloat64() * 3)
	}
	return logits
}

func TestGumbelBoundHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for i := range 1_000_000 {
		value := random.Uint64()
		switch i % 3 {
		case 1:
			value |= ^uint64(0) << random.IntN(64) // many leading ones: large noise
		case 2:
			value >>= random.IntN(64)
		}
		if g, bound := gumbel(value), gumbelBound(value); !(g <= bound) || math.IsInf(g, 0) {
			t.Fatalf("noise of %#x is %v, its bound %v", value, g, bound)
		}
	}
}

func TestRepetitionPenalty(t *testing.T) {
	logits := []float32{2, -1, 3, 0.5}
	s := sampler(t, Sampling{RepetitionPenalty: 2})
	if got := s.adjust(logits, []int32{2, 1, 2, 2}); !slices.Equal(got, []float32{2, -2, 1.5, 0.5}) {
		t.Errorf("penalized to %v", got)
	}
	if !slices.Equal(logits, []float32{2, -1, 3, 0.5}) {
		t.Errorf("the logits themselves became %v", logits)
	}
	if id := draw(t, s, logits, []int32{2}); id != 0 {
		t.Errorf("drew %d, want 0", id)
	}
}

func TestDrawIsPure(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	settings := Sampling{Temperature: 1, TopP: 0.9, RepetitionPenalty: 1.2, Seed: 9}
	used := sampler(t, settings)
	for range 200 {
		logits, preceding := normalLogits(random, 100), make([]int32, random.IntN(50))
		for i := range preceding {
			preceding[i] = random.Int32N(100)
		}
		if a, b := draw(t, used, logits, preceding), draw(t, sampler(t, settings), logits, preceding); a != b {
			t.Fatalf("a used sampler drew %d, a new one %d", a, b)
		}
	}
}

func TestDrawRefusesNaN(t *testing.T) {
	for _, temperature := range []float64{0, 1} {
		_, err := sampler(t, Sampling{Temperature: temperature}).Draw([]float32{1, float32(math.NaN()), 2}, nil)
		if !errors.Is(err, ErrNotANumber) {
			t.Errorf("temperature %v: %v", temperature, err)
		}
	}
}

func TestSamplingValidate(t *testing.T) {
	for _, s := range []Sampling{{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: math.Inf(1)}, {TopK: -1}, {TopP: 1.1}, {TopP: -0.1},
		{MinP: 2}, {MinP: math.NaN()}, {RepetitionPenalty: -1}, {RepetitionPenalty: math.Inf(1)},
		{FrequencyPenalty: math.NaN()}, {PresencePenalty: 1e39}, {LogitBias: map[int32]float32{-1: 1}}, {LogitBias: map[int32]float32{3: float32(math.Inf(-1))}}} {
		if _, err := NewSampler(kernels.Sets()[0], s); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestProbability(t *testing.T) {
	for score := 0.0; score > -30; score -= 0.00137 {
		got, want := float64(probability(score))*probabilityUnit, math.Exp(score)
		if math.Abs(got-want) > 1e-8*want+probabilityUnit {
			t.Fatalf("probability of score %v is %v, want %v", score, got, want)
		}
	}
	for _, score := range []float64{-100, math.Inf(-1), math.NaN()} {
		if p := probability(score); p != 0 {
			t.Errorf("probability of score %v is %v", score, p)
		}
	}
}

// TestGreedyMargin compares with the logits, sorted.
func TestGreedyMargin(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	s := sampler(t, Sampling{})
	for range 200 {
		logits := normalLogits(random, 2+random.IntN(200))
		id, margin, err := s.DrawMargin(logits, nil)
		if err != nil || id != draw(t, s, logits, nil) {
			t.Fatalf("%d (%v), not what Draw draws", id, err)
		}
		slices.Sort(logits)
		if want := float64(logits[len(logits)-1]) - float64(logits[len(logits)-2]); margin != min(want, LargestMargin) {
			t.Fatalf("margin %v, want %v", margin, want)
		}
	}
	for _, settings := range []Sampling{{}, {Temperature: 1, TopK: 1}} {
		if _, margin, _ := sampler(t, settings).DrawMargin([]float32{-99, 2}, nil); margin != LargestMargin {
			t.Errorf("%+v: margin %v without another candidate", settings, margin)
		}
	}
}

// TestRanks compares the order of ranks with that of logits and ids.
func TestRanks(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	negativeZero := float32(math.Copysign(0, -1))
	special := []float32{0, negativeZero, float32(math.Inf(1)), float32(math.Inf(-1)), math.SmallestNonzeroFloat32, -math.MaxFloat32}
	logit := func() float32 {
		if random.IntN(3) == 0 {
			return special[random.IntN(len(special))]
		}
		return float32(random.NormFloat64())
	}
	for range 10_000 {
		a, b, idA, idB := logit(), logit(), random.Int32N(3), random.Int32N(1<<30)
		if random.IntN(2) == 0 {
			b = a
		}
		better := a > b || a == b && idA < idB
		if got := rankOf(idA, a) > rankOf(idB, b); got != better {
			t.Fatalf("%v of token %d better than %v of %d: %v", a, idA, b, idB, got)
		}
		if id := rankOf(idB, b).id(); id != idB {
			t.Fatalf("id %d became %d", idB, id)
		}
	}
}

// BenchmarkDraw draws from logits of the size of the fable model's vocabulary and of GPT-2's, as far
// apart as trained models have them.
// BenchmarkDraw draws from many rows of logits in turn: the branches of a single one would be learned by heart.
func BenchmarkDraw(b *testing.B) {
	for _, vocabulary := range []int{2048, 50257} {
		random := rand.New(rand.NewPCG(1, 2))
		rows := make([][]float32, 1<<17/vocabulary)
		for i := range rows {
			rows[i] = normalLogits(random, vocabulary)
		}
		for name, sampling := range map[string]Sampling{
			"greedy": {}, "unfiltered": {Temperature: 1}, "top-k": {Temperature: 0.8, TopK: 40}, "top-p": {Temperature: 1, TopP: 0.95},
		} {
			b.Run(fmt.Sprint(name, "/", vocabulary), func(b *testing.B) {
				s, err := NewSampler(kernels.Sets()[0], sampling)
				if err != nil {
					b.Fatal(err)
				}
				preceding := make([]int32, 0, 1000)
				for i := 0; b.Loop(); i++ {
					if _, err := s.Draw(rows[i%len(rows)], preceding); err != nil {
						b.Fatal(err)
					}
					if preceding = append(preceding, 1); len(preceding) == 1000 {
						preceding = preceding[:0]
					}
				}
			})
		}
	}
}
