package quant

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/panel"
)

// kinds are shapes of rows that a search of scales meets.
var kinds = map[string]func(random *rand.Rand, i int) float64{
	"gaussian": func(random *rand.Rand, i int) float64 { return random.NormFloat64() },
	"heavy":    func(random *rand.Rand, i int) float64 { return math.Pow(random.NormFloat64(), 5) },
	"spike":    func(random *rand.Rand, i int) float64 { return random.NormFloat64() + 30*float64(i%61/60) },
	"constant": func(random *rand.Rand, i int) float64 { return 3 },
	"lopsided": func(random *rand.Rand, i int) float64 { return random.ExpFloat64() },
	"sparse":   func(random *rand.Rand, i int) float64 { return random.NormFloat64() * float64(random.IntN(8)/7) },
	"zero":     func(random *rand.Rand, i int) float64 { return 0 },
}

func fill(values []float32, kind func(*rand.Rand, int) float64, size float64, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 5))
	for i := range values {
		values[i] = float32(kind(random, i) * size)
	}
}

// squaredError is the weighted squared error of values under a scale with codes low to high, every
// value rounded to the nearest code, in float64.
func squaredError(values, importance []float32, scale float32, low, high float64) float64 {
	sum := 0.0
	for i, w := range values {
		q := 0.0
		if scale != 0 {
			q = min(max(math.RoundToEven(float64(w)/float64(scale)), low), high)
		}
		e := float64(w) - q*float64(scale)
		sum += e * e * float64(importance[i])
	}
	return sum
}

// A searched scale is never worse than the largest weight's, and nearly as good as the best of very
// many.
func TestSearchInt4(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 72 // each size twice
	}
	random := rand.New(rand.NewPCG(11, 12))
	for name, kind := range kinds {
		var total, best, largest float64
		for seed := range seeds {
			var group, importance [groups]float32
			size := math.Exp2(float64(seed%36) - 22) // down to subnormal scales
			fill(group[:], kind, size, seed)
			for i := range importance {
				importance[i] = 1
				if seed%2 == 1 {
					importance[i] = float32(random.ExpFloat64())
				}
			}
			magnitude := float32(math.Abs(float64(largestOf(group[:]))))
			plain := squaredError(group[:], importance[:], float16.ToFloat32(float16.FromFloat32(magnitude/7)), -8, 7)
			found := squaredError(group[:], importance[:], float16.ToFloat32(searchInt4(&group, &importance)), -8, 7)
			if found > plain*(1+1e-6) {
				t.Fatalf("%s %d: error %v, with the largest weight's scale %v", name, seed, found, plain)
			}
			least := plain
			for step := float32(4); step < 16; step += 0.01 {
				for _, scale := range []float32{magnitude / step, -magnitude / step} {
					least = min(least, squaredError(group[:], importance[:], float16.ToFloat32(float16.FromFloat32(scale)), -8, 7))
				}
			}
			if name == "gaussian" && seed%36 > 10 { // below, the grid of binary16 is coarser than the search's
				total, best, largest = total+found/(size*size), best+least/(size*size), largest+plain/(size*size)
			}
		}
		if name == "gaussian" {
			if t.Logf("squared error %.3f, best %.3f, by the largest weight %.3f", total, best, largest); total > 1.01*best {
				t.Errorf("squared error %v, the best possible is %v", total, best)
			}
		}
	}
}

func TestSearchInt8(t *testing.T) {
	importance := make([]float32, 3072)
	for i := range importance {
		importance[i] = 1
	}
	for name, kind := range kinds {
		for seed := range uint64(24) {
			row := make([]float32, []int{64, 768, 3072}[seed%3])
			fill(row, kind, math.Exp2(float64(seed*10)-119), seed)
			plain := squaredError(row, importance, float32(math.Abs(float64(largestOf(row))))/127, -127, 127)
			found := squaredError(row, importance, searchInt8(row), -127, 127)
			// The search adds up in float32: what it cannot tell apart is as good.
			if most := plain*(1+1e-5) + float64(len(row))*smallestRow*smallestRow; found > most {
				t.Fatalf("%s %d: error %v, with the largest weight's scale %v", name, seed, found, plain)
			}
		}
	}
}

// TestGaussianErrors holds the mean error, in relation to the mean weight, of matrices as large as
// GPT-2's.
func TestGaussianErrors(t *testing.T) {
	for _, c := range []struct {
		encoding      format.Encoding
		rows, columns int
		most          float64
	}{
		{format.PanelInt8, 768, 3072, 0.93e-2}, {format.PanelInt8, 3072, 768, 0.84e-2}, {format.PanelInt8, 768, 768, 0.84e-2},
		{format.PanelInt4, 768, 3072, 9.5e-2}, {format.PanelInt4, 3072, 768, 9.5e-2}, {format.PanelInt4, 768, 768, 9.5e-2},
	} {
		t.Run(fmt.Sprint(c.encoding, c.rows, c.columns), func(t *testing.T) {
			t.Parallel()
			weights := make([]float32, c.rows*c.columns)
			fill(weights, kinds["gaussian"], 0.02, uint64(c.rows))
			m, err := panel.View(c.encoding, c.rows, c.columns, encode(t, c.encoding, c.rows, c.columns, weights))
			if err != nil {
				t.Fatal(err)
			}
			var e Errors
			e.Add(weights, m.Decode())
			if t.Logf("relative %.3f %%, SQNR %.2f dB", 100*e.Relative(), e.SQNR()); e.Relative() > c.most {
				t.Errorf("relative error %v, want at most %v", e.Relative(), c.most)
			}
		})
	}
}

// TestWeigh holds the errors that count more to less than without being told which do, and columns that count
// alike to the same bytes.
func TestWeigh(t *testing.T) {
	const rowCount, columns = 48, 130
	weights, importance := randomWeights(rowCount*columns), make([]float32, columns)
	random := rand.New(rand.NewPCG(3, 4))
	for k := range importance {
		importance[k] = float32(random.ExpFloat64() * random.ExpFloat64())
	}
	encoded := func(importance []float32) []byte {
		e, err := NewEncoder(format.PanelInt4, rowCount, columns)
		if err != nil {
			t.Fatal(err)
		}
		e.Weigh(importance)
		return encodeWith(t, e, rowCount, columns, weights)
	}
	lost := func(section []byte) float64 {
		m, err := panel.View(format.PanelInt4, rowCount, columns, section)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, w := range m.Decode() {
			e := float64(w) - float64(weights[i])
			sum += e * e * float64(importance[i%columns])
		}
		return sum
	}
	alike := make([]float32, columns)
	for k := range alike {
		alike[k] = 1
	}
	plain := encode(t, format.PanelInt4, rowCount, columns, weights)
	if !bytes.Equal(encoded(alike), plain) {
		t.Error("columns that count alike change the bytes")
	}
	if with, without := lost(encoded(importance)), lost(plain); !(with < 0.97*without) {
		t.Errorf("weighted squared error %v, without weighing %v", with, without)
	}
	// Nothing known, or nothing that makes sense, is no worse than the largest weight's scale.
	for _, factor := range []float32{0, float32(math.Inf(1)), float32(math.NaN())} {
		for k := range alike {
			alike[k] = factor
		}
		m, err := panel.View(format.PanelInt4, rowCount, columns, encoded(alike))
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range m.Decode() {
			if d := math.Abs(float64(w) - float64(weights[i])); d > bound(format.PanelInt4, weights, columns, i) {
				t.Fatalf("factor %v: weight %v became %v", factor, weights[i], w)
			}
		}
	}
}
