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
func input(random *rand.Rand, tokens, columns int) *Activations {
	x := NewActivations(tokens, columns)
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
