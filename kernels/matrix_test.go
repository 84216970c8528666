package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/quant"
)

var matrixEncodings = []format.Encoding{format.PanelF32, format.PanelF16, format.PanelInt8, format.PanelInt4}

// encodeMatrix puts weights [rows, columns] into panels.
func encodeMatrix(t testing.TB, encoding format.Encoding, rows, columns int, weights []float32) panel.Matrix {
	t.Helper()
	e, err := quant.NewEncoder(encoding, rows, columns)
	if err != nil {
		t.Fatal(err)
	}
	padded, codes := format.PaddedColumns(columns), e.Panels()*e.PanelBytes()
	section := make([]byte, codes+len(e.Scales()))
	for p := range e.Panels() {
		panel := make([]float32, panelRows*padded)
		for r := p * panelRows; r < min((p+1)*panelRows, rows); r++ {
			copy(panel[(r-p*panelRows)*padded:], weights[r*columns:(r+1)*columns])
		}
		if err := e.EncodePanel(section[p*e.PanelBytes():(p+1)*e.PanelBytes()], p, panel); err != nil {
			t.Fatal(err)
		}
	}
	copy(section[codes:], e.Scales())
	m, err := panel.View(encoding, rows, columns, section)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func normal(random *rand.Rand, n int, deviation float64) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(random.NormFloat64() * deviation)
	}
	return values
}

// input returns quantized activations of some tokens, padding zero.
func input(random *rand.Rand, tokens, columns int) *Input {
	x := NewInput(tokens, columns)
	for t := range tokens {
		copy(x.Row(t), normal(random, columns, 1))
	}
	reference.Quantize(x, 0, tokens)
	return x
}

// TestMatMulIsTheProduct compares the reference with float64 products of the decoded weights. With
// integer encodings the activations are the quantized ones, so that only rounding is left.
func TestMatMulIsTheProduct(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	for _, encoding := range matrixEncodings {
		for _, shape := range [][3]int{{1, 1, 1}, {16, 64, 2}, {50, 100, 3}, {33, 300, 5}} {
			t.Run(fmt.Sprint(encoding, shape), func(t *testing.T) {
				rows, columns, tokens := shape[0], shape[1], shape[2]
				w := encodeMatrix(t, encoding, rows, columns, normal(random, rows*columns, 0.05))
				x := input(random, tokens, columns)
				bias := normal(random, format.PaddedRows(rows), 1)
				stride := format.PaddedRows(rows) + 5
				out := make([]float32, tokens*stride)
				reference.MatMul(out, stride, &w, x, bias, 0, w.Panels())
				decoded := w.Decode()
				for token := range tokens {
					for r := range rows {
						want := float64(bias[r])
						for k := range columns {
							value := float64(x.Row(token)[k])
							if encoding == format.PanelInt8 || encoding == format.PanelInt4 {
								i := token*x.Columns + k
								value = float64(x.Codes[i]) * float64(x.Scales[i/groupColumns])
							}
							want += float64(decoded[r*columns+k]) * value
						}
						if got := float64(out[token*stride+r]); math.Abs(got-want) > 1e-5 {
							t.Fatalf("token %d row %d: %v, want %v", token, r, got, want)
						}
					}
				}
			})
		}
	}
}

// attendExactly is attention by its textbook definition in float64.
func attendExactly(q []float32, keys, values [][]float32, dimensions int) []float64 {
	scores, sum, out := make([]float64, len(keys)), 0.0, make([]float64, dimensions)
	for t, key := range keys {
		for d := range dimensions {
			scores[t] += float64(q[d]) * float64(key[d])
		}
		scores[t] = math.Exp(scores[t])
		sum += scores[t]
	}
	for t, value := range values {
		for d := range dimensions {
			out[d] += scores[t] / sum * float64(value[d])
		}
	}
	return out
}

func TestAttendIsAttention(t *testing.T) {
	tolerance := map[CacheEncoding]float64{CacheF32: 1e-6, CacheF16: 2e-3, CacheInt8: 5e-2}
	for encoding, allowed := range tolerance {
		random := rand.New(rand.NewPCG(10, uint64(encoding)))
		for _, dimensions := range []int{64, 5, 80} {
			const positions = 37
			head := &NewHeads(encoding, 2, dimensions, positions)[1]
			var keys, values [][]float32
			for p := range positions {
				keys, values = append(keys, normal(random, dimensions, 1)), append(values, normal(random, dimensions, 1))
				head.Store(p, keys[p], values[p])
			}
			for _, first := range []int{0, 15, 16, 30} {
				const queries = 7
				q := make([]float32, queries*head.Dimensions)
				for i := range queries {
					copy(q[i*head.Dimensions:], normal(random, dimensions, 0.3))
				}
				out := make([]float32, queries*head.Dimensions)
				reference.Attend(out, head.Dimensions, q, head, first, queries, make([]float32, ScoreSpace(positions)))
				for i := range queries {
					want := attendExactly(q[i*head.Dimensions:], keys[:first+i+1], values[:first+i+1], dimensions)
					for d := range want {
						if got := float64(out[i*head.Dimensions+d]); math.Abs(got-want[d]) > allowed {
							t.Fatalf("%v: query at %d, dimension %d: %v, want %v", encoding, first+i, d, got, want[d])
						}
					}
				}
			}
		}
	}
}

// TestAttendReadsNoLaterPosition poisons everything after a query's own position.
func TestAttendReadsNoLaterPosition(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 11))
	for _, encoding := range []CacheEncoding{CacheF32, CacheF16, CacheInt8} {
		for _, set := range Sets() {
			const dimensions, positions, first = 64, 48, 20
			nan := make([]float32, dimensions)
			for i := range nan {
				nan[i] = float32(math.NaN())
			}
			clean, poisoned := &NewHeads(encoding, 1, dimensions, positions)[0], &NewHeads(encoding, 1, dimensions, positions)[0]
			for p := range positions {
				key, value := normal(random, dimensions, 1), normal(random, dimensions, 1)
				clean.Store(p, key, value)
				if p > first {
					key, value = nan, nan
				}
				poisoned.Store(p, key, value)
			}
			q := normal(random, dimensions, 0.3)
			scores := make([]float32, ScoreSpace(positions))
			want, got := make([]float32, dimensions), make([]float32, dimensions)
			set.Attend(want, dimensions, q, clean, first, 1, scores)
			set.Attend(got, dimensions, q, poisoned, first, 1, scores)
			for d := range want {
				if got[d] != want[d] {
					t.Fatalf("%s, %v: dimension %d is %v, want %v", set.Name(), encoding, d, got[d], want[d])
				}
			}
		}
	}
}
