package kernels

import "math"

// Kernels over one row of activations.

// layerNormReference writes weight*(x-mean)/sqrt(variance+epsilon)+bias to dst. Both sums run over
// the index modulo 16, then the fixed tree.
func layerNormReference(dst, x, weight, bias []float32, epsilon float32) {
	var lanes [16]float32
	for i, v := range x {
		lanes[i%16] += v
	}
	mean := sum16(&lanes) / float32(len(x))
	lanes = [16]float32{}
	for i, v := range x {
		lanes[i%16] = fma32(v-mean, v-mean, lanes[i%16])
	}
	variance := sum16(&lanes) / float32(len(x))
	inverse := 1 / float32(math.Sqrt(float64(variance+epsilon)))
	for i, v := range x {
		dst[i] = fma32(float32((v-mean)*inverse), weight[i], bias[i])
	}
}

func layerNormsReference(dst []float32, dstStride int, x []float32, xStride, rows int, weight, bias []float32, epsilon float32) {
	for i := range rows {
		layerNormReference(dst[i*dstStride:], x[i*xStride:][:len(weight)], weight, bias, epsilon)
	}
}

// rmsNormReference writes weight*x/sqrt(mean(x^2)+epsilon) to dst. The squares are summed by index modulo 16, then the
// fixed tree: B. Zhang and R. Sennrich, "Root Mean Square Layer Normalization" (2019).
func rmsNormReference(dst, x, weight []float32, epsilon float32) {
	var lanes [16]float32
	for i, v := range x {
		lanes[i%16] = fma32(v, v, lanes[i%16])
	}
	mean := sum16(&lanes) / float32(len(x))
	inverse := 1 / float32(math.Sqrt(float64(mean+epsilon)))
	for i, v := range x {
		dst[i] = float32(v*inverse) * weight[i]
	}
}

func rmsNormsReference(dst []float32, dstStride int, x []float32, xStride, rows int, weight []float32, epsilon float32) {
	for i := range rows {
		rmsNormReference(dst[i*dstStride:], x[i*xStride:][:len(weight)], weight, epsilon)
	}
}

// rotateReference is the rotary embedding of a head: J. Su et al., "RoFormer: Enhanced Transformer with Rotary Position
// Embedding" (2021), with the two numbers of a pair half a head apart, as GPT-NeoX and all after it have them.
func rotateReference(x, cos, sin []float32) {
	half := len(cos)
	for i := range half {
		a, b := x[i], x[half+i]
		x[i] = fma32(-b, sin[i], float32(a*cos[i]))
		x[half+i] = fma32(a, sin[i], float32(b*cos[i]))
	}
}

func addReference(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

func scaleReference(dst, x []float32, factor float32) {
	for i, v := range x {
		dst[i] = v * factor
	}
}

// activateReference holds the functions that lie between the matrices of a feed-forward block.
var activateReference = [activationFunctions]func([]float32){
	GELUTanh: geluTanhReference,
	GELU:     geluErfReference,
	ReLU:     reluReference,
	SiLU:     siluReference,
}

// gateReference multiplies the function of a gate with what it lets through: N. Shazeer, "GLU Variants Improve
// Transformer" (2020).
func gateReference(f ActivationFunction, gate, up []float32) {
	activateReference[f](gate)
	for i, v := range up {
		gate[i] *= v
	}
}

// Constants of the tanh form of GELU, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as
// x / (1 + exp(-u)) with u = 2 sqrt(2/pi) (x + 0.044715 x^3): D. Hendrycks and K. Gimpel, "Gaussian
// Error Linear Units" (2016).
const (
	geluTanh1 = 1.5957691216057308
	geluTanh3 = geluTanh1 * 0.044715
)

func geluTanhReference(x []float32) {
	for i, v := range x {
		u := fma32(geluTanh3, float32(v*v), geluTanh1) * v
		x[i] = v / (1 + Exp(-u))
	}
}

// Constants of erf by M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 7.1.26:
// erfc(a) = t (a1 + t (a2 + ...)) exp(-a^2), t = 1 / (1 + p a), a >= 0; error at most 1.5e-7.
const (
	erfP  = 0.3275911
	erfA1 = 0.254829592
	erfA2 = -0.284496736
	erfA3 = 1.421413741
	erfA4 = -1.453152027
	erfA5 = 1.061405429
)

// geluErfReference is the exact form of GELU, x Phi(x), with Phi(x) = erfc(-x/sqrt 2)/2.
func geluErfReference(x []float32) {
	for i, v := range x {
		a := math.Float32frombits(math.Float32bits(v)&^(1<<31)) * float32(1/math.Sqrt2)
		t := 1 / fma32(erfP, a, 1)
		p := fma32(erfA5, t, erfA4)
		p = fma32(p, t, erfA3)
		p = fma32(p, t, erfA2)
		p = fma32(p, t, erfA1)
		tail := float32(float32(p*t) * Exp(-(a * a)) * 0.5) // converted, so that it cannot fuse with the difference
		if v < 0 {
			x[i] = v * tail
		} else {
			x[i] = v * (1 - tail)
		}
	}
}

func reluReference(x []float32) {
	for i, v := range x {
		if v < 0 {
			x[i] = 0
		}
	}
}

func siluReference(x []float32) {
	for i, v := range x {
		x[i] = v / (1 + Exp(-v))
	}
}

// softCapReference replaces x by limit*tanh(x/limit), where tanh has the sign of its argument and, for a >= 0, tanh a =
// -m/(2+m) with m = e^-2a - 1. The result is within 4 ulp.
func softCapReference(x []float32, limit float32) {
	const sign = 1 << 31
	for i, v := range x {
		a := math.Float32frombits(math.Float32bits(v/limit) &^ sign)
		m := expM1(-2 * a)
		bound := limit * (m / (2 + m)) // of either sign, or a zero of either
		x[i] = math.Float32frombits(math.Float32bits(bound)&^sign | math.Float32bits(v)&sign)
	}
}
