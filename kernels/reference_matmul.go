package kernels

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/panel"
)

// The matrix products: out[t][r] = sum over k of w[r][k] * x[t][k], plus bias[r].
//
// f32, f16: one ascending chain of fused multiply-adds per output; the bias is added last.
// int8, int4: per group of 64 columns the exact integer dot product of codes; the groups' products
// follow in ascending order in a chain of fused multiply-adds.

func matMulF32Reference(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
	for p := first; p < last; p++ {
		weights := format.Float32s(w.Panel(p))
		for t := range x.Tokens {
			var sums [panelRows]float32
			for k, v := range x.Row(t) {
				for r, weight := range weights[k*panelRows:][:panelRows] {
					sums[r] = fma32(v, weight, sums[r])
				}
			}
			storeRows(out[t*stride+p*panelRows:], &sums, bias[p*panelRows:])
		}
	}
}

func matMulF16Reference(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
	for p := first; p < last; p++ {
		weights := format.Uint16s(w.Panel(p))
		for t := range x.Tokens {
			var sums [panelRows]float32
			for k, v := range x.Row(t) {
				for r, weight := range weights[k*panelRows:][:panelRows] {
					sums[r] = fma32(v, float16.ToFloat32(weight), sums[r])
				}
			}
			storeRows(out[t*stride+p*panelRows:], &sums, bias[p*panelRows:])
		}
	}
}

func storeRows(out []float32, sums *[panelRows]float32, bias []float32) {
	out, bias = out[:panelRows], bias[:panelRows]
	for r := range out {
		out[r] = sums[r] + bias[r]
	}
}

func matMulInt8Reference(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
	groups := w.Groups()
	for p := first; p < last; p++ {
		panel, scales := w.Panel(p), w.RowScales[p*panelRows:][:panelRows]
		for t := range x.Tokens {
			var sums [panelRows]float32
			for g := range groups {
				dots := dotInt8(panel[g*groupColumns*panelRows:], x.Codes[t*x.Columns+g*groupColumns:], x.Sums[t*groups+g])
				for r, dot := range dots {
					sums[r] = fma32(x.Scales[t*groups+g], float32(dot), sums[r])
				}
			}
			for r := range sums {
				sums[r] = float32(sums[r] * scales[r]) // the conversion forbids fusing it with the bias
			}
			storeRows(out[t*stride+p*panelRows:], &sums, bias[p*panelRows:])
		}
	}
}

func matMulInt4Reference(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
	groups := w.Groups()
	for p := first; p < last; p++ {
		panel := w.Panel(p)
		for t := range x.Tokens {
			var sums [panelRows]float32
			for g := range groups {
				dots := dotInt4(panel[g*groupColumns*panelRows/2:], x.Codes[t*x.Columns+g*groupColumns:], x.Sums[t*groups+g])
				scales := w.GroupScales[(p*groups+g)*panelRows:][:panelRows]
				for r, dot := range dots {
					sums[r] = fma32(float32(x.Scales[t*groups+g]*float16.ToFloat32(scales[r])), float32(dot), sums[r])
				}
			}
			storeRows(out[t*stride+p*panelRows:], &sums, bias[p*panelRows:])
		}
	}
}

// dotInt8 returns the dot products of one group of 16 rows with one token's codes. Weights are
// stored +128, so 128 times the sum of the codes is taken out again.
func dotInt8(panel []byte, codes []int8, sum int32) (dots [panelRows]int32) {
	for r := range dots {
		dots[r] = -128 * sum
	}
	for line := range groupColumns / 4 {
		weights, c := panel[line*64:][:64], codes[line*4:][:4]
		c0, c1, c2, c3 := int32(c[0]), int32(c[1]), int32(c[2]), int32(c[3])
		for r := range dots {
			dots[r] += int32(weights[r*4])*c0 + int32(weights[r*4+1])*c1 + int32(weights[r*4+2])*c2 + int32(weights[r*4+3])*c3
		}
	}
	return dots
}

// dotInt4 is dotInt8 for nibbles, stored +8: the low ones hold columns 0 to 3 of a line, the high
// ones columns 4 to 7.
func dotInt4(panel []byte, codes []int8, sum int32) (dots [panelRows]int32) {
	for r := range dots {
		dots[r] = -8 * sum
	}
	for line := range groupColumns / 8 {
		weights, c := panel[line*64:][:64], codes[line*8:][:8]
		for r := range dots {
			for i, w := range weights[r*4:][:4] {
				dots[r] += int32(w&15)*int32(c[i]) + int32(w>>4)*int32(c[4+i])
			}
		}
	}
	return dots
}
