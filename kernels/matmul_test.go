package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/panel"
)

// sameBits compares results as the kernels promise them: equal bits, or both NaN.
func sameBits(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// randomMatrix returns a matrix of arbitrary codes, which need not be such as an encoder makes, and
// scales or float weights that value gives.
func randomMatrix(t testing.TB, random *rand.Rand, encoding format.Encoding, rows, columns int, value func() float32) panel.Matrix {
	t.Helper()
	size, err := encoding.Size([]int{rows, columns})
	if err != nil {
		t.Fatal(err)
	}
	section := make([]byte, size)
	m, err := panel.View(encoding, rows, columns, section)
	if err != nil {
		t.Fatal(err)
	}
	switch encoding {
	case format.PanelF32:
		fill(format.Float32s(m.Codes), value)
	case format.PanelF16:
		fillHalf(format.Uint16s(m.Codes), value)
	default:
		for i := 0; i+8 <= len(m.Codes); i += 8 {
			binary.LittleEndian.PutUint64(m.Codes[i:], random.Uint64())
		}
		fill(m.RowScales, value)
		fillHalf(m.GroupScales, value)
	}
	return m
}

func fill(values []float32, value func() float32) {
	for i := range values {
		values[i] = value()
	}
}

func fillHalf(values []uint16, value func() float32) {
	for i := range values {
		values[i] = float16.FromFloat32(value())
	}
}

// A kind of numbers that weights, scales, activations and biases are made of.
var numbers = map[string]func(random *rand.Rand) func() float32{
	"normal": func(random *rand.Rand) func() float32 {
		return func() float32 { return float32(random.NormFloat64()) }
	},
	"extreme": func(random *rand.Rand) func() float32 {
		choices := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 65504, -65504, 0x1p-24, -0x1p-20, 0x1p-140, -0x1p-126, 1e18, -1e18}
		return func() float32 { return choices[random.IntN(len(choices))] }
	},
	"any exponent": func(random *rand.Rand) func() float32 {
		return func() float32 { return float32(math.Ldexp(random.NormFloat64(), random.IntN(120)-100)) }
	},
	"not finite": func(random *rand.Rand) func() float32 {
		choices := []float32{1, -2, 0, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
		return func() float32 { return choices[min(random.IntN(200), len(choices)-1)*random.IntN(2)] }
	},
	"zero": func(*rand.Rand) func() float32 { return func() float32 { return 0 } },
}

// checkMatMul compares all sets with the reference on panels first <= p < last, and that they write
// nothing else.
func checkMatMul(t *testing.T, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
	t.Helper()
	const untouched = 12345.5
	stride := last*panelRows + 3
	want := make([]float32, x.Tokens*stride)
	fill(want, func() float32 { return untouched })
	got := make([]float32, len(want))
	reference.MatMul(want, stride, w, x, bias, first, last)
	for _, set := range setsForAnyWeights() {
		if set == &reference {
			continue
		}
		fill(got, func() float32 { return untouched })
		set.MatMul(got, stride, w, x, bias, first, last)
		for i := range want {
			if !sameBits(got[i], want[i]) {
				t.Fatalf("%s: %v [%d %d], %d tokens, panels %d to %d: token %d, row %d is %x, want %x", set.Name(),
					w.Encoding, w.Rows, w.Columns, x.Tokens, first, last, i/stride, i%stride, got[i], want[i])
			}
		}
	}
}

// setsForAnyWeights returns every set, and where it differs also what it is for weights from memory.
func setsForAnyWeights() []*Set {
	all := Sets()
	for _, s := range Sets() {
		if large := s.ForWeights(math.MaxInt64); large != s {
			all = append(all, large)
		}
	}
	return all
}

// TestMatMulSetsAgree holds every set to the bits of the reference.
func TestMatMulSetsAgree(t *testing.T) {
	for _, encoding := range matrixEncodings {
		for name, number := range numbers {
			t.Run(fmt.Sprint(encoding, " ", name), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(20, uint64(encoding)))
				value := number(random)
				for tokens := range 18 {
					checkRandomProduct(t, random, encoding, 1+random.IntN(220), 1+random.IntN(200), tokens, value)
				}
				for range 30 {
					checkRandomProduct(t, random, encoding, 1+random.IntN(220), 1+random.IntN(200), 1+random.IntN(9), value)
				}
				checkRandomProduct(t, random, encoding, 300, 64, 64, value)
				checkRandomProduct(t, random, encoding, 130, 1100, 1+random.IntN(20), value)
			})
		}
	}
}

func checkRandomProduct(t *testing.T, random *rand.Rand, encoding format.Encoding, rows, columns, tokens int, value func() float32) {
	t.Helper()
	w := randomMatrix(t, random, encoding, rows, columns, value)
	x := NewActivations(tokens, columns)
	for i := range tokens {
		fill(x.Row(i)[:columns], value)
	}
	reference.Quantize(x, 0, tokens)
	bias := make([]float32, format.PaddedRows(rows))
	fill(bias, value)
	first := random.IntN(w.Panels())
	checkMatMul(t, &w, x, bias, 0, w.Panels())
	checkMatMul(t, &w, x, bias, first, first+random.IntN(w.Panels()-first+1))
}

// TestMatMulLargestSums drives the integer sums to their limits, where 16-bit and saturating
// instructions would go wrong: every pair of extreme weight codes and activation codes.
func TestMatMulLargestSums(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 21))
	for _, encoding := range []format.Encoding{format.PanelInt8, format.PanelInt4} {
		for _, weight := range []byte{0x00, 0x01, 0x0f, 0x7f, 0x80, 0xf0, 0xff} {
			for _, code := range []int8{-128, -127, 127} {
				w := randomMatrix(t, random, encoding, 80, 192, func() float32 { return 0.01 })
				for i := range w.Codes {
					w.Codes[i] = weight
				}
				x := NewActivations(5, 192)
				for i := range x.Codes {
					x.Codes[i] = code
				}
				for i := range x.Sums {
					x.Scales[i], x.Sums[i] = 0.5, groupColumns*int32(code)
				}
				checkMatMul(t, &w, x, make([]float32, 80), 0, w.Panels())
				x.Resize(1, 192)
				checkMatMul(t, &w, x, make([]float32, 80), 0, w.Panels())
			}
		}
	}
}

// TestMatMulAllocatesNothing holds the entry points to the promise of Set.
func TestMatMulAllocatesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(22, 22))
	for _, set := range setsForAnyWeights() {
		if set == &reference {
			continue // its f16 product has a buffer
		}
		for _, encoding := range matrixEncodings {
			w := randomMatrix(t, random, encoding, 100, 128, func() float32 { return 1 })
			x := input(random, 9, 128)
			out, bias := make([]float32, 9*112), make([]float32, 112)
			if n := testing.AllocsPerRun(10, func() { set.MatMul(out, 112, &w, x, bias, 0, w.Panels()) }); n != 0 {
				t.Errorf("%s, %v: %v allocations", set.Name(), encoding, n)
			}
		}
	}
}

// TestMatMulAmongOthers multiplies in many goroutines while the garbage collector runs: a thread changes hands in the middle
// of it, and registers must come back as they were. Those of tiles are the operating system's newest.
func TestMatMulAmongOthers(t *testing.T) {
	const rows, columns, tokens, goroutines, rounds = 96, 256, 16, 8, 200
	random := rand.New(rand.NewPCG(23, 23))
	for _, encoding := range []format.Encoding{format.PanelInt8, format.PanelInt4} {
		w := randomMatrix(t, random, encoding, rows, columns, func() float32 { return float32(random.NormFloat64()) })
		x, bias := input(random, tokens, columns), make([]float32, rows)
		want := make([]float32, tokens*rows)
		reference.MatMul(want, rows, &w, x, bias, 0, w.Panels())
		for _, set := range Sets() {
			if set == &reference {
				continue
			}
			var group sync.WaitGroup
			for range goroutines {
				group.Go(func() {
					got := make([]float32, len(want))
					for round := range rounds {
						set.MatMul(got, rows, &w, x, bias, 0, w.Panels())
						if !slices.EqualFunc(got, want, sameBits) {
							t.Errorf("%s, %v: other numbers in round %d", set.Name(), encoding, round)
							return
						}
						if round%20 == 0 {
							runtime.GC()
						}
					}
				})
			}
			group.Wait()
		}
	}
}
