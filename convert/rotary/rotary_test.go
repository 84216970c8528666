package rotary

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestPrecise compares with package math, which is within an ulp or so of the exact values.
func TestPrecise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	close := func(got, want float64) bool { return math.Abs(got-want) <= 4e-16*max(math.Abs(want), 1e-300) }
	for range 2000 {
		x := math.Exp(40 * (random.Float64() - 0.5))
		if got, want := ln(x), math.Log(x); !close(got, want) {
			t.Errorf("ln %v is %v, want %v", x, got, want)
		}
		base, width := 2+math.Exp(16*random.Float64()), 2+2*random.IntN(128)
		i := random.IntN(width)
		if got, want := pow(base, i, width), math.Pow(base, float64(i)/float64(width)); math.Abs(got/want-1) > 1e-14 {
			t.Errorf("%v^(%d/%d) is %v, want %v", base, i, width, got, want)
		}
	}
	for _, c := range []struct{ got, want float64 }{{ln(1), 0}, {ln(2), math.Ln2}, {ln(10), math.Ln10}, {pow(10000, 0, 64), 1}, {pow(10000, 32, 64), 100}, {pow(1e6, 64, 128), 1000}} {
		if c.got != c.want {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
}
