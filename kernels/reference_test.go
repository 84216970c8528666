package kernels

import (
	"math"
	"math/big"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"testing"
)

// exactFMA is a*b+c rounded once, by arbitrary precision.
func exactFMA(a, b, c float32) float32 {
	exact := func(x float32) *big.Float { return new(big.Float).SetPrec(1000).SetFloat64(float64(x)) }
	product := new(big.Float).SetPrec(1000).Mul(exact(a), exact(b))
	sum, _ := product.Add(product, exact(c)).Float32()
	return sum
}

func TestFMARoundsOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	check := func(a, b, c float32) {
		t.Helper()
		if product := float64(a) * float64(b); product+float64(c) == 0 {
			return // the sign of zero is not big's
		}
		if got, want := fma32(a, b, c), exactFMA(a, b, c); math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("fma32(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
	finite := func() float32 {
		for {
			if x := math.Float32frombits(random.Uint32()); !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) {
				return x
			}
		}
	}
	for range 100000 {
		check(finite(), finite(), finite())
		a, b := float32(random.NormFloat64()), float32(random.NormFloat64())
		check(a, b, float32(random.NormFloat64()))
		check(a, b, -a*b)
		// Sums that lie a little beside the middle of two float32: 2^24+1 and the like.
		check(a, 0x1p-60, float32(1<<24)+float32(random.IntN(8)))
		middle := math.Ldexp(float64(1<<24+random.IntN(1<<20))+0.5, -24)
		check(float32(middle), 1, float32(math.Ldexp(random.NormFloat64(), -40)))
		check(4097, float32(1<<12+random.IntN(64)+1)*0x1p-12, float32(math.Ldexp(random.NormFloat64(), -50)))
		// Subnormal results.
		check(a*0x1p-70, b*0x1p-70, float32(math.Ldexp(random.NormFloat64(), -140)))
	}
}

func ulps(got float32, want float64) float64 {
	unit := float64(math.Nextafter32(float32(math.Abs(want)), math.MaxFloat32)) - math.Abs(float64(float32(want)))
	return math.Abs(float64(got)-want) / math.Abs(unit)
}

func TestExpWithinTwoUlp(t *testing.T) {
	worst := 0.0
	for i := range 4_000_000 {
		x := float32(ExpMin + (ExpMax-ExpMin)*float64(i)/4_000_000)
		if x < ExpMin || x > ExpMax {
			continue
		}
		if e := ulps(Exp(x), math.Exp(float64(x))); e > worst {
			worst = e
			if e > 2 {
				t.Fatalf("Exp(%v) = %v, want %v: %v ulp", x, Exp(x), math.Exp(float64(x)), e)
			}
		}
	}
	t.Logf("worst error %.3f ulp", worst)
	inf := float32(math.Inf(1))
	for _, c := range [][2]float32{{0, 1}, {-inf, 0}, {inf, inf}, {-88, 0}, {89, inf}, {math.SmallestNonzeroFloat32, 1}} {
		if got := Exp(c[0]); got != c[1] {
			t.Errorf("Exp(%v) = %v, want %v", c[0], got, c[1])
		}
	}
	if nan := Exp(float32(math.NaN())); nan == nan {
		t.Error("Exp(NaN) is not NaN")
	}
}

func TestLogWithinTwoUlp(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	worst := 0.0
	for range 1_000_000 {
		x := math.Ldexp(1+random.Float64(), random.IntN(80)-60)
		if random.IntN(2) == 0 {
			x = 1 - math.Ldexp(random.Float64(), -random.IntN(50))
		}
		want, _ := new(big.Float).SetFloat64(math.Log(x)).Float64()
		if x == 1 {
			continue
		}
		unit := math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want)
		worst = max(worst, math.Abs(Log(x)-want)/unit)
	}
	if t.Logf("worst error %.2f ulp of float64", worst); worst > 2 {
		t.Errorf("worst error %v ulp", worst)
	}
}

func TestActivationsWithinTolerance(t *testing.T) {
	definitions := map[ActivationFunction]func(x float64) float64{
		GELUTanh: func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		},
		GELU: func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) },
		ReLU: func(x float64) float64 { return max(x, 0) },
		SiLU: func(x float64) float64 { return x / (1 + math.Exp(-x)) },
	}
	for activation, definition := range definitions {
		worst := 0.0
		for i := -1_000_000; i <= 1_000_000; i++ {
			x := []float32{float32(i) * 1.2e-5}
			want := definition(float64(x[0]))
			reference.Activate(activation, x)
			worst = max(worst, math.Abs(float64(x[0])-want)/max(1, math.Abs(want)))
		}
		if t.Logf("activation %d: worst error %.2g", activation, worst); worst > 5e-7 {
			t.Errorf("activation %d: error %v", activation, worst)
		}
		for _, x := range []float32{1e4, -1e4, 1e30, -1e30} {
			y := []float32{x}
			reference.Activate(activation, y)
			if want := max(x, 0); y[0] != want {
				t.Errorf("activation %d of %v is %v", activation, x, y[0])
			}
		}
	}
}

func TestLayerNormWithinTolerance(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 7, 16, 100, 768, 1600} {
		x, weight, bias, got := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		mean := 0.0
		for i := range x {
			x[i], weight[i], bias[i] = float32(3+random.NormFloat64()), float32(random.NormFloat64()), float32(random.NormFloat64())
			mean += float64(x[i]) / float64(n)
		}
		variance := 0.0
		for _, v := range x {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
		}
		reference.LayerNorm(got, len(x), x, len(x), 1, weight, bias, 1e-5)
		for i := range x {
			want := (float64(x[i])-mean)/math.Sqrt(variance+1e-5)*float64(weight[i]) + float64(bias[i])
			if math.Abs(float64(got[i])-want) > 2e-5 {
				t.Fatalf("n=%d: element %d is %v, want %v", n, i, got[i], want)
			}
		}
	}
}

func TestRMSNormWithinTolerance(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 7))
	const rows, gap, epsilon = 3, 2, 1e-6
	for _, n := range []int{1, 7, 16, 64, 100, 256, 2048} {
		stride := n + gap
		x, weight := normal(random, rows*stride, 3), normal(random, n, 1)
		got := slices.Repeat([]float32{-7}, rows*stride)
		reference.RMSNorm(got, stride, x, stride, rows, weight, epsilon)
		for row := range rows {
			squares := 0.0
			for _, v := range x[row*stride:][:n] {
				squares += float64(v) * float64(v)
			}
			for i, v := range x[row*stride:][:stride] {
				want := -7.0 // between the rows
				if i < n {
					want = float64(v) / math.Sqrt(squares/float64(n)+epsilon) * float64(weight[i])
				}
				if got := float64(got[row*stride+i]); math.Abs(got-want) > 2e-6*max(1, math.Abs(want)) {
					t.Fatalf("n=%d: element %d of row %d is %v, want %v", n, i, row, got, want)
				}
			}
		}
	}
}

// TestRotateTurns compares with the multiplication of complex numbers of unit length.
func TestRotateTurns(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 8))
	for _, half := range []int{0, 1, 5, 16, 32, 40, 64} {
		for _, rest := range []int{0, 1, 32} {
			x, cos, sin := normal(random, 2*half+rest, 1), make([]float32, half), make([]float32, half)
			want := make([]complex128, half)
			for i := range half {
				angle := float32(100 * random.NormFloat64())
				sin[i], cos[i] = SinCos(angle)
				want[i] = complex(float64(x[i]), float64(x[half+i])) * cmplx.Exp(complex(0, float64(angle)))
			}
			got := slices.Clone(x)
			reference.Rotate(got, cos, sin)
			for i, w := range want {
				if z := complex(float64(got[i]), float64(got[half+i])); cmplx.Abs(z-w) > 1e-6 {
					t.Fatalf("half of %d: pair %d is %v, want %v", half, i, z, w)
				}
			}
			if !slices.Equal(got[2*half:], x[2*half:]) {
				t.Fatalf("half of %d: what follows has changed", half)
			}
		}
	}
}

func TestGateIsTheProduct(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 9))
	for f := range ActivationFunction(activationFunctions) {
		gate, up := normal(random, 300, 2), normal(random, 310, 2)
		want := slices.Clone(gate)
		reference.Activate(f, want)
		reference.Gate(f, gate, up)
		for i := range want {
			if got, want := gate[i], float32(float64(want[i])*float64(up[i])); got != want {
				t.Fatalf("activation %d: element %d is %v, want %v", f, i, got, want)
			}
		}
	}
}

func TestSoftCapWithinTolerance(t *testing.T) {
	inf, zero := float32(math.Inf(1)), float32(0)
	for _, limit := range []float32{1, 15, 30, 50, 0x1p-100, 0x1p100} {
		apply := func(x float32) float32 {
			row := []float32{x}
			reference.SoftCap(row, limit)
			return row[0]
		}
		worst := 0.0
		for i := range 1_000_000 {
			x := limit * float32(i) / 1e5
			got, want := apply(x), float64(limit)*math.Tanh(float64(x)/float64(limit))
			worst = max(worst, ulps(got, want))
			if got < 0 || got > limit || apply(-x) != -got {
				t.Fatalf("%v bounded by %v is %v, and %v of the negative", x, limit, got, apply(-x))
			}
		}
		if t.Logf("limit %v: worst error %.2f ulp", limit, worst); worst > 4 {
			t.Errorf("limit %v: error of %v ulp", limit, worst)
		}
		for _, c := range [][2]float32{{zero, zero}, {-zero, -zero}, {inf, limit}, {-inf, -limit}, {math.MaxFloat32, limit}, {-math.MaxFloat32, -limit}} {
			if limit < 2 && apply(c[0]) != c[1] {
				t.Errorf("%v bounded by %v is %v, want %v", c[0], limit, apply(c[0]), c[1])
			}
		}
		if nan := apply(float32(math.NaN())); nan == nan {
			t.Errorf("NaN bounded by %v is %v", limit, nan)
		}
	}
}

func TestQuantizeBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	x := NewActivations(3, 130)
	for i := range x.Values {
		x.Values[i] = float32(random.NormFloat64()) * float32(math.Ldexp(1, random.IntN(60)-30))
	}
	clear(x.Values[192*2:])
	reference.Quantize(x, 0, 3)
	for g, scale := range x.Scales {
		var sum int32
		for i := g * 64; i < (g+1)*64; i++ {
			sum += int32(x.Codes[i])
			if d := math.Abs(float64(x.Values[i]) - float64(scale)*float64(x.Codes[i])); d > float64(scale)*0.50001 {
				t.Fatalf("value %v became %v", x.Values[i], float64(scale)*float64(x.Codes[i]))
			}
		}
		if sum != x.Sums[g] {
			t.Fatalf("group %d: sum %d, want %d", g, x.Sums[g], sum)
		}
	}
}

func TestQuantizeExtremes(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		value float32
		code  int8
		scale float32
	}{
		{0, 0, 0}, {math.SmallestNonzeroFloat32, 0, 0}, {0x1p-121, 0, 0}, {0x1p-120, 127, 0x1p-120 / 127}, {-math.MaxFloat32, -127, math.MaxFloat32 / 127},
		{nan, 0, nan}, {inf, 0, nan}, {-inf, 0, nan},
	} {
		x := NewActivations(1, 64)
		x.Values[5] = c.value
		reference.Quantize(x, 0, 1)
		same := x.Scales[0] == c.scale || x.Scales[0] != x.Scales[0] && c.scale != c.scale
		if x.Codes[5] != c.code || x.Sums[0] != int32(c.code) || !same {
			t.Errorf("%v: code %d, sum %d, scale %v", c.value, x.Codes[5], x.Sums[0], x.Scales[0])
		}
	}
}
