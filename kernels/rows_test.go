package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The tests of this file and of attention_test.go compare every set with the reference, bit by bit.
// Only the sign and payload of a NaN are free.

// unequal returns the first index where two rows differ, -1 if there is none.
func unequal(got, want []float32) int {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			return i
		}
	}
	return -1
}

// kinds are what rows are made of, from harmless to hostile.
var kinds = []struct {
	name  string
	value func(random *rand.Rand) float32
}{
	{"normal", func(random *rand.Rand) float32 { return float32(random.NormFloat64()) }},
	{"scaled", func(random *rand.Rand) float32 {
		return float32(math.Ldexp(random.NormFloat64(), random.IntN(40)-25))
	}},
	{"signed zeros", func(random *rand.Rand) float32 {
		return []float32{0, float32(math.Copysign(0, -1)), float32(random.NormFloat64())}[random.IntN(3)]
	}},
	{"subnormal", func(random *rand.Rand) float32 {
		return math.Float32frombits(random.Uint32()&(1<<31|1<<24-1)) * float32(1+random.IntN(4))
	}},
	{"huge", func(random *rand.Rand) float32 {
		return float32(math.Ldexp(random.NormFloat64(), 100+random.IntN(27)))
	}},
	{"any", func(random *rand.Rand) float32 { return math.Float32frombits(random.Uint32()) }},
	{"rarely not finite", func(random *rand.Rand) float32 {
		if random.IntN(100) == 0 {
			return []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32}[random.IntN(4)]
		}
		return float32(random.NormFloat64())
	}},
}

// lengths are those of rows: around the multiples of 16, and real ones.
var lengths = []int{1, 2, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 63, 64, 65, 100, 127, 768, 1023, 1600}

// eachRow calls test for every set but the reference, kind of row and length. The rows it makes end
// where the next array begins in which a stray store would be seen.
func eachRow(t *testing.T, lengths []int, test func(t *testing.T, s *Set, n int, row func() []float32)) {
	for _, s := range Sets() {
		for k, kind := range kinds {
			t.Run(s.Name()+"/"+kind.name, func(t *testing.T) {
				random := rand.New(rand.NewPCG(12, uint64(k)))
				for _, n := range lengths {
					for range 3 {
						test(t, s, n, func() []float32 {
							x := make([]float32, n)
							for i := range x {
								x[i] = kind.value(random)
							}
							return x
						})
					}
				}
			})
		}
	}
}

// guarded returns a copy of x with guards behind it, and a function that tells whether they stand.
func guarded(x []float32) (row []float32, intact func() bool) {
	const guard = 12345.5
	whole := append(slices.Clone(x), slices.Repeat([]float32{guard}, 32)...)
	return whole[:len(x)], func() bool {
		return !slices.ContainsFunc(whole[len(x):], func(v float32) bool { return v != guard })
	}
}

func TestLayerNormIsTheReference(t *testing.T) {
	eachRow(t, lengths, func(t *testing.T, s *Set, n int, row func() []float32) {
		weight, bias := row(), row()
		for rows := range 6 {
			xStride, dstStride := n+rows, n+3
			x, want := make([]float32, max(0, rows-1)*xStride+n), make([]float32, max(0, rows-1)*dstStride+n)
			for i := range rows {
				copy(x[i*xStride:], row())
			}
			got, intact := guarded(want)
			reference.LayerNorm(want, dstStride, x, xStride, rows, weight, bias, 1e-5)
			s.LayerNorm(got, dstStride, x, xStride, rows, weight, bias, 1e-5)
			if i := unequal(got, want); i >= 0 || !intact() {
				t.Fatalf("n=%d, %d rows: element %d is %x, want %x", n, rows, i, got[max(i, 0)], want[max(i, 0)])
			}
		}
		x, want := row(), make([]float32, n)
		got, _ := guarded(x) // in place
		reference.LayerNorm(want, n, x, n, 1, weight, bias, 1e-5)
		s.LayerNorm(got, n, got, n, 1, weight, bias, 1e-5)
		if i := unequal(got, want); i >= 0 {
			t.Fatalf("n=%d in place: element %d is %x, want %x", n, i, got[i], want[i])
		}
	})
}

func TestRMSNormIsTheReference(t *testing.T) {
	eachRow(t, lengths, func(t *testing.T, s *Set, n int, row func() []float32) {
		weight := row()
		for rows := range 10 {
			xStride, dstStride := n+rows, n+3
			x, want := make([]float32, max(0, rows-1)*xStride+n), make([]float32, max(0, rows-1)*dstStride+n)
			for i := range rows {
				copy(x[i*xStride:], row())
			}
			got, intact := guarded(want)
			reference.RMSNorm(want, dstStride, x, xStride, rows, weight, 1e-6)
			s.RMSNorm(got, dstStride, x, xStride, rows, weight, 1e-6)
			if i := unequal(got, want); i >= 0 || !intact() {
				t.Fatalf("n=%d, %d rows: element %d is %x, want %x", n, rows, i, got[max(i, 0)], want[max(i, 0)])
			}

			inPlace, intact := guarded(x)
			reference.RMSNorm(x, xStride, x, xStride, rows, weight, 1e-6)
			s.RMSNorm(inPlace, xStride, inPlace, xStride, rows, weight, 1e-6)
			if i := unequal(inPlace, x); i >= 0 || !intact() {
				t.Fatalf("n=%d, %d rows in place: element %d is %x, want %x", n, rows, i, inPlace[max(i, 0)], x[max(i, 0)])
			}
		}
	})
}

func TestScaleIsTheReference(t *testing.T) {
	eachRow(t, lengths, func(t *testing.T, s *Set, n int, row func() []float32) {
		x, factor, want := row(), row()[0], make([]float32, n)
		got, intact := guarded(make([]float32, n))
		reference.Scale(want, x, factor)
		s.Scale(got, x, factor)
		if i := unequal(got, want); i >= 0 || !intact() {
			t.Fatalf("n=%d: %x times %x is %x, want %x", n, x[max(i, 0)], factor, got[max(i, 0)], want[max(i, 0)])
		}
	})
}

func TestActivationsAreTheReference(t *testing.T) {
	for f := range ActivationFunction(activationFunctions) {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			eachRow(t, lengths, func(t *testing.T, s *Set, n int, row func() []float32) {
				x := row()
				want := slices.Clone(x)
				got, intact := guarded(x)
				reference.Activate(f, want)
				s.Activate(f, got)
				if i := unequal(got, want); i >= 0 || !intact() {
					t.Fatalf("n=%d: f(%x) is %x, want %x", n, x[max(i, 0)], got[max(i, 0)], want[max(i, 0)])
				}
			})
		})
	}
}

func TestGateIsTheReference(t *testing.T) {
	for f := range ActivationFunction(activationFunctions) {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			eachRow(t, lengths, func(t *testing.T, s *Set, n int, row func() []float32) {
				gate, up := row(), row()
				want := slices.Clone(gate)
				got, intact := guarded(gate)
				reference.Gate(f, want, up)
				s.Gate(f, got, up)
				if i := unequal(got, want); i >= 0 || !intact() {
					t.Fatalf("n=%d: f(%x) times %x is %x, want %x", n, gate[max(i, 0)], up[max(i, 0)], got[max(i, 0)], want[max(i, 0)])
				}
			})
		})
	}
}

func TestSoftCapIsTheReference(t *testing.T) {
	eachRow(t, lengths, func(t *testing.T, s *Set, n int, row func() []float32) {
		for _, limit := range []float32{1, 30, 50, 0x1p-126, math.SmallestNonzeroFloat32, math.MaxFloat32} {
			x := row()
			want := slices.Clone(x)
			got, intact := guarded(x)
			reference.SoftCap(want, limit)
			s.SoftCap(got, limit)
			if i := unequal(got, want); i >= 0 || !intact() {
				t.Fatalf("n=%d: %x bounded by %v is %x, want %x", n, x[max(i, 0)], limit, got[max(i, 0)], want[max(i, 0)])
			}
		}
	})
}

// TestSoftCapNearItsLimit passes the arguments around the one from where on the exponential inside no longer counts.
func TestSoftCapNearItsLimit(t *testing.T) {
	var x []float32
	middle := math.Float32bits(-expM1Min / 2)
	for bits := middle - 500; bits < middle+500; bits++ {
		x = append(x, math.Float32frombits(bits), -math.Float32frombits(bits))
	}
	want := slices.Clone(x)
	reference.SoftCap(want, 1)
	for _, s := range Sets() {
		got := slices.Clone(x)
		s.SoftCap(got, 1)
		if i := unequal(got, want); i >= 0 {
			t.Errorf("%s: %x bounded is %x, want %x", s.Name(), x[i], got[i], want[i])
		}
	}
}

func TestRotateIsTheReference(t *testing.T) {
	eachRow(t, append([]int{0, 40, 48}, lengths...), func(t *testing.T, s *Set, half int, row func() []float32) {
		cos, sin, x := row(), row(), append(row(), row()...)
		x = append(x, 3, 4, 5) // which stay
		want := slices.Clone(x)
		got, intact := guarded(x)
		reference.Rotate(want, cos, sin)
		s.Rotate(got, cos, sin)
		if i := unequal(got, want); i >= 0 || !intact() {
			t.Fatalf("half of %d: element %d is %x, want %x", half, i, got[max(i, 0)], want[max(i, 0)])
		}
	})
}

// TestFunctionsNearTheLimitsOfExp passes the arguments around the one where the exponential inside reaches
// its limit and the result becomes zero.
func TestFunctionsNearTheLimitsOfExp(t *testing.T) {
	for _, f := range []ActivationFunction{GELUTanh, GELU, SiLU} {
		apply := func(s *Set, x []float32) []float32 {
			x = slices.Clone(x)
			s.Activate(f, x)
			return x
		}
		low, high := uint32(math.Float32bits(5)), uint32(math.Float32bits(200))
		for high-low > 1 {
			middle := (low + high) / 2
			if apply(&reference, []float32{-math.Float32frombits(middle)})[0] == 0 {
				high = middle
			} else {
				low = middle
			}
		}
		var x []float32
		for bits := low - 500; bits < low+500; bits++ {
			x = append(x, -math.Float32frombits(bits), math.Float32frombits(bits))
		}
		want := apply(&reference, x)
		for _, s := range Sets() {
			got := apply(s, x)
			if i := unequal(got, want); i >= 0 {
				t.Errorf("%s: f(%x) is %x, want %x", s.Name(), x[i], got[i], want[i])
			}
		}
	}
}

func TestAddIsTheReference(t *testing.T) {
	eachRow(t, lengths, func(t *testing.T, s *Set, n int, row func() []float32) {
		dst, x := row(), row()
		got, intact := guarded(dst)
		reference.Add(dst, x)
		s.Add(got, x)
		if i := unequal(got, dst); i >= 0 || !intact() {
			t.Fatalf("n=%d: element %d is %x, want %x", n, i, got[max(i, 0)], dst[max(i, 0)])
		}
	})
}

func TestQuantizeIsTheReference(t *testing.T) {
	eachRow(t, []int{64, 128, 192, 768}, func(t *testing.T, s *Set, n int, row func() []float32) {
		const tokens = 3
		want, got := NewActivations(tokens, n), NewActivations(tokens, n)
		for token := range tokens {
			copy(want.Row(token), row())
		}
		clear(want.Row(1)[:64])
		copy(got.Values, want.Values)
		for _, x := range []*Activations{want, got} {
			for i := range x.Codes {
				x.Codes[i] = 55
			}
			for i := range x.Sums {
				x.Sums[i], x.Scales[i] = -1, -1
			}
		}
		reference.Quantize(want, 0, 2)
		s.Quantize(got, 0, 2)
		if i := unequal(got.Scales, want.Scales); i >= 0 || !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Sums, want.Sums) {
			t.Fatalf("n=%d: group %d: scales %x, want %x; sums %v, want %v", n, i, got.Scales, want.Scales, got.Sums, want.Sums)
		}
	})
}

// TestQuantizeRoundsToEven passes values that lie in the middle between two codes.
func TestQuantizeRoundsToEven(t *testing.T) {
	for _, s := range Sets() {
		x := NewActivations(1, 64)
		x.Values[0] = 127
		for i := 1; i < 64; i++ {
			x.Values[i] = float32(i) - 32.5
		}
		s.Quantize(x, 0, 1)
		for i := 1; i < 64; i++ {
			if want := int8(math.RoundToEven(float64(x.Values[i]))); x.Codes[i] != want {
				t.Errorf("%s: %v became %d, want %d", s.Name(), x.Values[i], x.Codes[i], want)
			}
		}
	}
}

func TestQuantizeExtremesAreTheReference(t *testing.T) {
	tiny := float32(0x1p-120)
	for _, s := range Sets() {
		for _, v := range []float32{0, float32(math.Copysign(0, -1)), tiny, -tiny, math.Nextafter32(tiny, 0), math.Nextafter32(tiny, 1),
			math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
			for _, place := range []int{0, 5, 17, 40, 63} {
				want, got := NewActivations(1, 64), NewActivations(1, 64)
				want.Values[place], got.Values[place] = v, v
				want.Values[1], got.Values[1] = v/3, v/3
				reference.Quantize(want, 0, 1)
				s.Quantize(got, 0, 1)
				if unequal(got.Scales, want.Scales) >= 0 || !slices.Equal(got.Codes, want.Codes) || got.Sums[0] != want.Sums[0] {
					t.Errorf("%s: %v at %d: %v, want %v", s.Name(), v, place, got, want)
				}
			}
		}
	}
}

func TestArgMaxIsTheReference(t *testing.T) {
	eachRow(t, append([]int{5000}, lengths...), func(t *testing.T, s *Set, n int, row func() []float32) {
		x := row()
		index, nan := s.ArgMax(x)
		wantIndex, wantNaN := reference.ArgMax(x)
		if index != wantIndex || nan != wantNaN {
			t.Fatalf("n=%d: %d %v, want %d %v", n, index, nan, wantIndex, wantNaN)
		}
	})
}

func TestArgMaxIsTheFirst(t *testing.T) {
	nan, inf, zero := float32(math.NaN()), float32(math.Inf(1)), float32(0)
	for _, s := range Sets() {
		for _, c := range []struct {
			x     []float32
			index int
			nan   bool
		}{
			{[]float32{7}, 0, false},
			{[]float32{1, 3, 2, 3}, 1, false},
			{[]float32{nan}, 0, true},
			{[]float32{nan, nan, nan}, 0, true},
			{[]float32{nan, -inf, nan}, 1, true},
			{[]float32{-inf, -inf}, 0, false},
			{[]float32{nan, 1, inf, inf}, 2, true},
			{[]float32{-1, -zero, zero}, 1, false},
			{append(slices.Repeat([]float32{-5}, 50), -4, nan, -4), 50, true},
			{slices.Repeat([]float32{nan}, 40), 0, true},
			{append(slices.Repeat([]float32{nan}, 40), -inf), 40, true},
		} {
			if index, nan := s.ArgMax(c.x); index != c.index || nan != c.nan {
				t.Errorf("%s: %v: %d %v, want %d %v", s.Name(), c.x, index, nan, c.index, c.nan)
			}
		}
	}
}

func TestThresholdIsTheReference(t *testing.T) {
	eachRow(t, append([]int{128, 129, 255, 256, 300, 2048, 5000}, lengths...), func(t *testing.T, s *Set, n int, row func() []float32) {
		x := row()
		for _, k := range []int{1, 2, 7, 40, 100, 127, 128} {
			if k > n {
				break
			}
			got, want := s.Threshold(x, k), reference.Threshold(x, k)
			if math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("n=%d, k=%d: %x, want %x", n, k, got, want)
			}
			numbers := 0
			for _, v := range x {
				if v == v {
					numbers++
				}
			}
			if n := reached(x, got); n < min(k, numbers) {
				t.Fatalf("n=%d, k=%d: %x is reached by %d of %d numbers", len(x), k, got, n, numbers)
			}
		}
	})
}

// TestThresholdIsClose asks for how many elements of real sizes reach a threshold.
func TestThresholdIsClose(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 21))
	for _, n := range []int{2048, 50257} {
		for _, k := range []int{1, 10, 40, 64} {
			sum := 0
			for range 100 {
				x := normal(random, n, 3)
				sum += reached(x, Sets()[0].Threshold(x, k))
			}
			if mean := float64(sum) / 100; mean > 1.5*float64(k)+2 {
				t.Errorf("%d elements: %.1f reach the threshold for %d", n, mean, k)
			}
		}
	}
}

func TestCollectIsTheReference(t *testing.T) {
	eachRow(t, append([]int{0, 2048, 5000}, lengths...), func(t *testing.T, s *Set, n int, row func() []float32) {
		x, space := row(), CollectSpace(n)
		indices, wantIndices := make([]int32, space+1), make([]int32, space)
		for _, threshold := range []float32{0, -1, 0.5, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
			indices[space] = 12345
			got := s.Collect(indices[:space], x, threshold)
			want := reference.Collect(wantIndices, x, threshold)
			if !slices.Equal(indices[:got], wantIndices[:want]) {
				t.Fatalf("n=%d, threshold %v: %v, want %v", n, threshold, indices[:got], wantIndices[:want])
			}
			if indices[space] != 12345 {
				t.Fatalf("n=%d, threshold %v: wrote beyond the space for it", n, threshold)
			}
		}
	})
}

func TestCountIsTheReference(t *testing.T) {
	eachRow(t, append([]int{0, 2048}, lengths...), func(t *testing.T, s *Set, n int, row func() []float32) {
		x := row()
		for i, value := range append(row(), 0, float32(math.Inf(-1)), float32(math.NaN())) {
			if i%2 == 0 && i < n {
				value = x[i] // so that some are equal
			}
			larger, equal := s.Count(x, value)
			if wantLarger, wantEqual := reference.Count(x, value); larger != wantLarger || equal != wantEqual {
				t.Fatalf("n=%d, value %x: %d and %d, want %d and %d", n, value, larger, equal, wantLarger, wantEqual)
			}
		}
	})
}

func TestReadIsTheReference(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 13))
	b := make([]byte, 20000)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	for _, s := range Sets() {
		for _, n := range []int{0, 1, 7, 8, 63, 64, 65, 255, 256, 511, 512, 513, 1024, 4095, 4096, 5000, 16384, 19990} {
			for _, offset := range []int{0, 1, 10} {
				if got, want := s.Read(b[offset:offset+n]), readReference(b[offset:offset+n]); got != want {
					t.Errorf("%s: %d bytes at %d: %x, want %x", s.Name(), n, offset, got, want)
				}
			}
		}
	}
}

// TestSizesThatDoNotFit: assembly checks nothing, so the methods must refuse what would lead it out of a slice.
func TestSizesThatDoNotFit(t *testing.T) {
	row := func(n int) []float32 { return make([]float32, n) }
	for _, s := range Sets() {
		for name, call := range map[string]func(){
			"norm into a short row":      func() { s.RMSNorm(row(15), 16, row(16), 16, 1, row(16), 1e-6) },
			"norm of a short row":        func() { s.RMSNorm(row(32), 16, row(31), 16, 2, row(16), 1e-6) },
			"norm of rows that overlap":  func() { s.RMSNorm(row(64), 16, row(64), 15, 2, row(16), 1e-6) },
			"norm of fewer rows than 0":  func() { s.RMSNorm(row(64), 16, row(64), 16, -1, row(16), 1e-6) },
			"rotation of a short head":   func() { s.Rotate(row(31), row(16), row(16)) },
			"rotation without sines":     func() { s.Rotate(row(32), row(16), row(15)) },
			"gate of a short row":        func() { s.Gate(SiLU, row(17), row(16)) },
			"gate of no function":        func() { s.Gate(activationFunctions, row(16), row(16)) },
			"soft cap of zero":           func() { s.SoftCap(row(16), 0) },
			"soft cap below zero":        func() { s.SoftCap(row(16), -30) },
			"soft cap that is infinite":  func() { s.SoftCap(row(16), float32(math.Inf(1))) },
			"soft cap that is no number": func() { s.SoftCap(row(16), float32(math.NaN())) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: %s is taken", s.Name(), name)
					}
				}()
				call()
			}()
		}
	}
}

func BenchmarkRows(b *testing.B) {
	random := rand.New(rand.NewPCG(14, 14))
	const n = 768
	x, weight, bias, dst := normal(random, 4*n, 1), normal(random, n, 1), normal(random, n, 1), make([]float32, n)
	in := input(random, 1, 4*n)
	row := make([]float32, 4*n)
	logits := normal(random, 50257, 3)
	indices := make([]int32, CollectSpace(len(logits)))
	for _, s := range Sets() {
		for _, bench := range []struct {
			name  string
			bytes int
			run   func()
		}{
			{"LayerNorm768", 4 * n, func() { s.LayerNorm(dst, n, x, n, 1, weight, bias, 1e-5) }},
			{"LayerNorm768x2", 8 * n, func() { s.LayerNorm(row, n, x, n, 2, weight, bias, 1e-5) }},
			{"LayerNorm768x4", 16 * n, func() { s.LayerNorm(row, n, x, n, 4, weight, bias, 1e-5) }},
			{"RMSNorm768", 4 * n, func() { s.RMSNorm(dst, n, x, n, 1, weight, 1e-6) }},
			{"RMSNorm768x4", 16 * n, func() { s.RMSNorm(row, n, x, n, 4, weight, 1e-6) }},
			{"RMSNorm128x16", 64 * 128, func() { s.RMSNorm(row, 128, x, 128, 16, weight[:128], 1e-6) }},
			{"Rotate128", 4 * 128, func() { s.Rotate(row[:128], weight[:64], bias[:64]) }},
			{"Add768", 4 * n, func() { s.Add(dst, x[:n]) }},
			{"Quantize768", 4 * n, func() { s.quantize(in.Codes[:n], in.Scales[:n/64], in.Sums[:n/64], in.Values[:n]) }},
			{"Quantize3072", 16 * n, func() { s.Quantize(in, 0, 1) }},
			{"GELUTanh3072", 16 * n, func() { copy(row, x); s.Activate(GELUTanh, row) }},
			{"GELU3072", 16 * n, func() { copy(row, x); s.Activate(GELU, row) }},
			{"SiLU3072", 16 * n, func() { copy(row, x); s.Activate(SiLU, row) }},
			{"SwiGLU3072", 16 * n, func() { copy(row, x); s.Gate(SiLU, row, logits) }},
			{"GeGLU3072", 16 * n, func() { copy(row, x); s.Gate(GELUTanh, row, logits) }},
			{"SoftCap3072", 16 * n, func() { copy(row, x); s.SoftCap(row, 30) }},
			{"ReLU3072", 16 * n, func() { copy(row, x); s.Activate(ReLU, row) }},
			{"ArgMax50257", 4 * 50257, func() { s.ArgMax(logits) }},
			{"Threshold2048", 4 * 2048, func() { s.Threshold(logits[:2048], 40) }},
			{"Threshold50257", 4 * 50257, func() { s.Threshold(logits, 40) }},
			{"Collect2048", 4 * 2048, func() { s.Collect(indices, logits[:2048], 6) }},
			{"Collect50257", 4 * 50257, func() { s.Collect(indices, logits, 9) }},
			{"Count64", 4 * 64, func() { s.Count(logits[:64], 6) }},
		} {
			b.Run(bench.name+"/"+s.Name(), func(b *testing.B) {
				b.SetBytes(int64(bench.bytes))
				for b.Loop() {
					bench.run()
				}
			})
		}
	}
}

// BenchmarkRead reads more than the caches hold.
func BenchmarkRead(b *testing.B) {
	memory := make([]byte, 256<<20)
	for i := range memory {
		memory[i] = byte(i)
	}
	for _, s := range Sets() {
		b.Run(s.Name(), func(b *testing.B) {
			b.SetBytes(int64(len(memory)))
			for b.Loop() {
				s.Read(memory)
			}
		})
	}
}
