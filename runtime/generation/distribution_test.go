package generation

import (
	"math"
	"math/rand/v2"
	"testing"
)

const draws = 200_000

// critical is the value that a chi-squared variable of that many degrees of freedom exceeds with
// probability 1e-4: E. B. Wilson and M. M. Hilferty, "The distribution of chi-square" (1931). The
// tests draw the same tokens every time, so a sampler that is right passes once and for all.
func critical(degrees int) float64 {
	const quantile = 3.719 // of the normal distribution
	n := float64(degrees)
	return n * math.Pow(1-2/(9*n)+quantile*math.Sqrt(2/(9*n)), 3)
}

// chiSquared compares counts with probabilities; the rarest outcomes are taken together until at
// least ten of them are expected.
func chiSquared(t *testing.T, name string, counts []int, probabilities []float64) {
	t.Helper()
	total := 0
	for _, n := range counts {
		total += n
	}
	statistic, cells := 0.0, 0
	rareCount, rareExpected := 0.0, 0.0
	add := func(count, expected float64) {
		statistic += (count - expected) * (count - expected) / expected
		cells++
	}
	for i, p := range probabilities {
		switch expected := p * float64(total); {
		case expected == 0 && counts[i] > 0:
			t.Fatalf("%s: %d of what cannot be", name, counts[i])
		case expected < 10:
			rareCount, rareExpected = rareCount+float64(counts[i]), rareExpected+expected
		default:
			add(float64(counts[i]), expected)
		}
	}
	if rareExpected >= 10 {
		add(rareCount, rareExpected)
	}
	limit := critical(cells - 1)
	if t.Logf("%s: chi-squared %.1f in %d cells, limit %.1f", name, statistic, cells, limit); statistic > limit {
		t.Errorf("%s: chi-squared %.1f in %d cells, limit %.1f", name, statistic, cells, limit)
	}
}

// softmax returns the probabilities of the tokens that a sampling keeps, by their definitions.
func softmax(s Sampling, logits []float32) []float64 {
	probabilities := make([]float64, len(logits))
	sum := 0.0
	for _, id := range keptBySorting(s, logits) {
		probabilities[id] = math.Exp(float64(logits[id]) / s.Temperature)
		sum += probabilities[id]
	}
	for i := range probabilities {
		probabilities[i] /= sum
	}
	return probabilities
}

// TestFrequenciesMatchSoftmax draws from fixed logits, at one position after the other and with one
// seed after the other.
func TestFrequenciesMatchSoftmax(t *testing.T) {
	logits := normalLogits(rand.New(rand.NewPCG(6, 6)), 64)
	for name, settings := range map[string]Sampling{
		"temperature 1":   {Temperature: 1},
		"temperature 2.5": {Temperature: 2.5},
		"top-k":           {Temperature: 1.2, TopK: 20},
		"top-p":           {Temperature: 1.5, TopP: 0.9},
		"min-p":           {Temperature: 2, MinP: 0.02},
		"all":             {Temperature: 2, TopK: 40, TopP: 0.95, MinP: 0.01},
	} {
		want := softmax(settings, logits)
		byPosition, bySeed := make([]int, len(logits)), make([]int, len(logits))
		settings.Seed = 11
		s := sampler(t, settings)
		preceding := make([]int32, draws)
		for position := range draws {
			byPosition[draw(t, s, logits, preceding[:position])]++
		}
		for seed := range uint64(draws) {
			s.Seed = seed
			bySeed[draw(t, s, logits, preceding[:7])]++
		}
		chiSquared(t, name+" over positions", byPosition, want)
		chiSquared(t, name+" over seeds", bySeed, want)
	}
}

// TestNoiseIsIndependent counts pairs of draws whose noise differs in one of position, seed and
// token id: they must be as frequent as the product of two probabilities.
func TestNoiseIsIndependent(t *testing.T) {
	logits := []float32{1, 0.5, 0, -0.5, -1, -2}
	shifted := make([]float32, 6+len(logits)) // the same choice among other tokens
	for i := range shifted {
		shifted[i] = float32(math.Inf(-1))
	}
	copy(shifted[6:], logits)
	settings := Sampling{Temperature: 1}
	p := softmax(settings, logits)
	products := make([]float64, 0, len(p)*len(p))
	for _, a := range p {
		for _, b := range p {
			products = append(products, a*b)
		}
	}
	s := sampler(t, settings)
	preceding := make([]int32, 2*draws)
	at := func(logits []float32, seed uint64, position int) int {
		s.Seed = seed
		return int(draw(t, s, logits, preceding[:position]))
	}
	for name, other := range map[string]func(i int) int{
		"next position":  func(i int) int { return at(logits, 5, i+1) },
		"next seed":      func(i int) int { return at(logits, 6, i) },
		"distant seed":   func(i int) int { return at(logits, 5+1<<40, i) },
		"seed, position": func(i int) int { return at(logits, 4, i+1) },
		"other tokens":   func(i int) int { return at(shifted, 5, i) - 6 },
	} {
		counts := make([]int, len(products))
		for i := range draws {
			// Pairs must not overlap, or they would not be independent of each other.
			counts[at(logits, 5, 2*i)*len(p)+other(2*i)]++
		}
		chiSquared(t, name, counts, products)
	}
}
