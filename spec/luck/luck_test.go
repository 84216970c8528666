package luck

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestChanceFollows learns of guesses with a known probability, which then changes.
func TestChanceFollows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	c := Assumed()
	for _, p := range []float64{0.9, 0.2, 1, 0} {
		mean := 0.0
		for i := range 4000 {
			if c.Learn(random.Float64() < p); i >= 2000 {
				mean += c.Rate() / 2000
			}
		}
		if math.Abs(mean-p) > 0.03 {
			t.Errorf("guesses that are right with probability %v: %v", p, mean)
		}
	}
}

// TestBands: larger margins are in higher bands, and every band has some.
func TestBands(t *testing.T) {
	seen, last := map[int]bool{}, 0
	for margin := 0.0; margin <= 3; margin += 0.01 {
		band := Band(margin)
		if band < last || band >= Bands {
			t.Fatalf("margin %v is in band %d, a smaller one in %d", margin, band, last)
		}
		seen[band], last = true, band
	}
	if len(seen) != Bands {
		t.Errorf("%d bands are used, there are %d", len(seen), Bands)
	}
}
