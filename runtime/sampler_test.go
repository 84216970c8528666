package runtime

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func sampler(t *testing.T, s Sampling) *Sampler {
	t.Helper()
	out, err := NewSampler(s)
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
		var kept []int32
		for _, c := range s.candidates {
			kept = append(kept, c.id)
		}
		slices.Sort(kept)
		if want := keptBySorting(settings, logits); !slices.Equal(kept, want) {
			t.Fatalf("%+v of %v keeps %v, want %v", settings, logits, kept, want)
		}
		if !slices.Contains(kept, id) {
			t.Fatalf("%+v draws %d, which is not among %v", settings, id, kept)
		}
	}
}

// TestBoundSparesNothing compares the draw with one that computes the noise of every candidate.
func TestBoundSparesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for position := range 300 {
		logits := normalLogits(random, 500)
		s := sampler(t, Sampling{Temperature: 1.3, Seed: 5})
		preceding := make([]int32, position)
		got := draw(t, s, logits, preceding)
		best, highest := int32(-1), math.Inf(-1)
		n := newNoise(5, position)
		for _, c := range s.candidates {
			if sum := c.score + gumbel(n.random(c.id)); sum > highest {
				best, highest = c.id, sum
			}
		}
		if got != best {
			t.Fatalf("position %d: %d, want %d", position, got, best)
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
	if got := s.penalize(logits, []int32{2, 1, 2, 2}); !slices.Equal(got, []float32{2, -2, 1.5, 0.5}) {
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
		logits, preceding := normalLogits(random, 100), tale(random.IntN(50))
		for i := range preceding {
			preceding[i] %= 100
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
		{MinP: 2}, {MinP: math.NaN()}, {RepetitionPenalty: -1}, {RepetitionPenalty: math.Inf(1)}} {
		if _, err := NewSampler(s); !errors.Is(err, ErrOption) {
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

// TestMargin compares with the sums of all candidates, sorted.
func TestMargin(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	for position := range 200 {
		logits := normalLogits(random, 200)
		for _, settings := range []Sampling{{}, {Temperature: 1.3, Seed: 5}, {Temperature: 0.8, TopK: 10}, {Temperature: 2, TopP: 0.7, RepetitionPenalty: 1.5}} {
			s := sampler(t, settings)
			preceding := tale(position)
			for i := range preceding {
				preceding[i] %= 200
			}
			id, margin, err := s.DrawMargin(logits, preceding)
			if err != nil || id != draw(t, s, logits, preceding) {
				t.Fatalf("%+v: %d (%v), not what Draw draws", settings, id, err)
			}
			var sums []float64
			if settings.Temperature == 0 {
				for _, logit := range logits {
					sums = append(sums, float64(logit))
				}
			} else {
				n := newNoise(settings.Seed, position)
				for _, c := range s.candidates {
					sums = append(sums, c.score+gumbel(n.random(c.id)))
				}
			}
			slices.Sort(sums)
			if want := sums[len(sums)-1] - sums[len(sums)-2]; margin != want {
				t.Fatalf("%+v: margin %v, want %v", settings, margin, want)
			}
		}
	}
	if _, margin, _ := sampler(t, Sampling{Temperature: 1, TopK: 1}).DrawMargin([]float32{1, 2}, nil); !math.IsInf(margin, 1) {
		t.Errorf("margin %v without another candidate", margin)
	}
}

// TestRanks compares the order of ranks with that of logits and ids.
func TestRanks(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	negativeZero := float32(math.Copysign(0, -1))
	special := []float32{0, negativeZero, float32(math.Inf(1)), float32(math.Inf(-1)), math.SmallestNonzeroFloat32, -math.MaxFloat32}
	for range 10_000 {
		a, b := candidate{id: random.Int32N(3)}, candidate{id: random.Int32N(1 << 30)}
		for _, c := range []*candidate{&a, &b} {
			if c.logit = float32(random.NormFloat64()); random.IntN(3) == 0 {
				c.logit = special[random.IntN(len(special))]
			}
		}
		if got := rankOf(a.id, a.logit) > rankOf(b.id, b.logit); got != (descending(a, b) < 0) {
			t.Fatalf("%+v better than %+v: %v", a, b, got)
		}
		if id := rankOf(b.id, b.logit).id(); id != b.id {
			t.Fatalf("id %d became %d", b.id, id)
		}
	}
}
