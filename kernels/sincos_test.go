package kernels

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactSinCos returns sine and cosine by their series in arbitrary precision, without reducing the argument to less than
// a quarter turn: it shares nothing with SinCos.
func exactSinCos(x float32) (sin, cos float64) {
	const precision = 300
	exact := func(v float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(v) }
	pi, ok := exact(0).SetString("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651")
	if !ok {
		panic("pi is not a number")
	}
	turn := exact(0).Mul(pi, exact(2))
	turns := exact(0).Quo(exact(float64(x)), turn)
	whole, _ := turns.Int(nil)
	angle := exact(0).Sub(exact(float64(x)), exact(0).Mul(turn, exact(0).SetInt(whole)))
	sums, term := [2]*big.Float{exact(0), exact(0)}, exact(1)
	for k := range 80 { // an angle below 2 pi: the last term is below 2^-190
		sum := sums[k%2]
		if k%4 < 2 {
			sum.Add(sum, term)
		} else {
			sum.Sub(sum, term)
		}
		term.Mul(term, angle).Quo(term, exact(float64(k+1)))
	}
	cos, _ = sums[0].Float64()
	sin, _ = sums[1].Float64()
	return sin, cos
}

func TestSinCosIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(26, 26))
	worst := 0.0
	check := func(x float32) {
		sin, cos := SinCos(x)
		wantSin, wantCos := exactSinCos(x)
		worst = max(worst, ulps(sin, wantSin), ulps(cos, wantCos))
		if !(worst < 0.501) {
			t.Fatalf("SinCos(%v) = %v, %v, want %v, %v: %.3f ulp", x, sin, cos, wantSin, wantCos, worst)
		}
	}
	for range 3000 {
		check(float32(random.Float64() * 8))
		check(float32(math.Ldexp(random.NormFloat64(), random.IntN(40)-20)))
		check(float32(random.IntN(SinCosMax)))
		quarter := float32(float64(random.IntN(SinCosMax*5/8)) * (math.Pi / 2)) // one of both is close to zero there
		check(quarter)
		check(math.Nextafter32(quarter, 0))
		check(-quarter)
	}
	check(SinCosMax)
	check(-SinCosMax)
	t.Logf("worst error %.4f ulp", worst)
}

// TestSinCosWithinOneUlp compares with package math at many more places.
func TestSinCosWithinOneUlp(t *testing.T) {
	random := rand.New(rand.NewPCG(27, 27))
	for range 2_000_000 {
		x := float32(math.Ldexp(random.Float64(), random.IntN(30)-6))
		sin, cos := SinCos(x)
		wantSin, wantCos := math.Sincos(float64(x))
		if e := max(ulps(sin, wantSin), ulps(cos, wantCos)); e > 1 {
			t.Fatalf("SinCos(%v) = %v, %v, want %v, %v: %v ulp", x, sin, cos, wantSin, wantCos, e)
		}
	}
}

func TestSinCosOfExtremes(t *testing.T) {
	if sin, cos := SinCos(0); sin != 0 || cos != 1 {
		t.Errorf("SinCos(0) = %v, %v", sin, cos)
	}
	if sin, cos := SinCos(math.SmallestNonzeroFloat32); sin != math.SmallestNonzeroFloat32 || cos != 1 {
		t.Errorf("of the smallest number: %v, %v", sin, cos)
	}
	above := math.Nextafter32(SinCosMax, math.MaxFloat32)
	for _, x := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), above, -above, math.MaxFloat32} {
		if sin, cos := SinCos(x); sin == sin || cos == cos {
			t.Errorf("SinCos(%v) = %v, %v, want NaN", x, sin, cos)
		}
	}
}

// BenchmarkSinCos measures the angles of one position of a head of 128 dimensions.
func BenchmarkSinCos(b *testing.B) {
	random := rand.New(rand.NewPCG(28, 28))
	angles, cos, sin := normal(random, 64, 1000), make([]float32, 64), make([]float32, 64)
	for b.Loop() {
		for i, angle := range angles {
			sin[i], cos[i] = SinCos(angle)
		}
	}
}
