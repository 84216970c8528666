package kernels

import (
	"math"

	"github.com/tti-llm/tti/format/float16"
)

// attendReference runs causal attention of one head for consecutive queries, the first of which
// stands at position first. Each sees the positions up to its own and no others. q holds the
// queries, already multiplied by the attention scale, [queries, dimensions]; out[i*stride:] receives
// the dimensions of query i; scores is scratch space for one score per cached position.
//
// For one query: scores are dot products, summed by dimension modulo 16 and the fixed tree; then
// their maximum, e^(score-maximum), the sum of these by position modulo 16 and the fixed tree; then
// the sum of values weighted by them, in ascending position, by fused multiply-adds; at last the
// division by the sum.
func attendReference(out []float32, stride int, q []float32, h *Head, first, queries int, scores []float32) {
	for i := range queries {
		count := first + i + 1
		query := q[i*h.Dimensions:][:h.Dimensions]
		maximum := float32(math.Inf(-1))
		for t := range count {
			scores[t] = h.score(query, t)
			if scores[t] > maximum {
				maximum = scores[t]
			}
		}
		var lanes [16]float32
		for t := range count {
			scores[t] = Exp(scores[t] - maximum)
			lanes[t%16] += scores[t]
		}
		sum := sum16(&lanes)
		result := out[i*stride:][:h.Dimensions]
		clear(result)
		for t := range count {
			h.addValue(result, scores[t], t)
		}
		for d := range result {
			result[d] /= sum
		}
	}
}

// score returns the dot product of a query with the key of position t.
func (h *Head) score(query []float32, t int) float32 {
	keys := t/blockPositions*blockPositions*h.Dimensions + t%blockPositions
	var lanes [16]float32
	for i, v := range query {
		k := keys + i*blockPositions
		switch h.Encoding {
		case CacheF32:
			lanes[i%16] = fma32(v, h.KeysF32[k], lanes[i%16])
		case CacheF16:
			lanes[i%16] = fma32(v, float16.ToFloat32(h.KeysF16[k]), lanes[i%16])
		case CacheInt8:
			lanes[i%16] = fma32(v, float32(h.KeysInt8[k]), lanes[i%16])
		}
	}
	sum := sum16(&lanes)
	if h.Encoding == CacheInt8 {
		sum = float32(sum * h.KeyScales[t])
	}
	return sum
}

// addValue adds the value of position t times weight. With int8 the weight takes up the scale.
func (h *Head) addValue(dst []float32, weight float32, t int) {
	row := t * h.Dimensions
	switch h.Encoding {
	case CacheF32:
		for d, v := range h.ValuesF32[row:][:len(dst)] {
			dst[d] = fma32(weight, v, dst[d])
		}
	case CacheF16:
		for d, v := range h.ValuesF16[row:][:len(dst)] {
			dst[d] = fma32(weight, float16.ToFloat32(v), dst[d])
		}
	case CacheInt8:
		weight = float32(weight * h.ValueScales[t])
		for d, v := range h.ValuesInt8[row:][:len(dst)] {
			dst[d] = fma32(weight, float32(v), dst[d])
		}
	}
}
