package kernels

import (
	"encoding/binary"
	"math"

	"github.com/tti-llm/tti/format/float16"
)

// Attention of one query over the positions that it sees, in three steps, each of which a set has a kernel
// for; see Set.Attend for how they follow each other:
//
// scores: the dot products of the query with the keys, summed by dimension modulo 16 and the fixed tree.
//
// softmax: the scores bounded by softCapReference where a model asks for that; then their maximum, then e^(score-maximum), and the sum of these by position modulo 16
// and the fixed tree.
//
// weigh: the sum of values weighted by these exponentials, in ascending position, by fused
// multiply-adds; at last the division by their sum. With int8 a weight first takes up the scale of its value.

// scoresReference writes the scores of some queries q [rows, Width] with positions first <= t < last, to
// scores[row*stride+t]. first begins a block.
func scoresReference(scores []float32, stride int, q []float32, rows int, h *KVHead, first, last int) {
	for t := first; t < last; t++ {
		for i := range rows {
			scores[i*stride+t] = h.score(q[i*h.Width:][:h.Width], t)
		}
	}
}

// score returns the dot product of a query with the key of position t.
func (h *KVHead) score(query []float32, t int) float32 {
	page, at := h.keyAt(t)
	key := page[at : at+((h.Width-1)*blockPositions+1)*h.Encoding.Bytes()]
	var lanes [16]float32
	switch h.Encoding {
	case KVF32:
		for i, v := range query {
			lanes[i%16] = fma32(v, float32At(key, i*blockPositions), lanes[i%16])
		}
	case KVF16:
		for i, v := range query {
			lanes[i%16] = fma32(v, float16At(key, i*blockPositions), lanes[i%16])
		}
	case KVInt8:
		for i, v := range query {
			lanes[i%16] = fma32(v, float32(int8(key[i*blockPositions])), lanes[i%16])
		}
		return float32(sum16(&lanes) * *h.keyScale(t))
	}
	return sum16(&lanes)
}

// addValue adds dimensions from, from+1, ... of the value of position t, times a weight.
func (h *KVHead) addValue(dst []float32, weight float32, t, from int) {
	page, at := h.valueAt(t)
	value := page[at+from*h.Encoding.Bytes():]
	switch h.Encoding {
	case KVF32:
		for d := range dst {
			dst[d] = fma32(weight, float32At(value, d), dst[d])
		}
	case KVF16:
		for d := range dst {
			dst[d] = fma32(weight, float16At(value, d), dst[d])
		}
	case KVInt8:
		for d := range dst {
			dst[d] = fma32(weight, float32(int8(value[d])), dst[d])
		}
	}
}

// float32At and float16At read number i of a row.
func float32At(row []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(row[4*i:]))
}
func float16At(row []byte, i int) float32 {
	return float16.ToFloat32(binary.LittleEndian.Uint16(row[2*i:]))
}

// softmaxReference replaces the scores of positions first <= t < last, in scores[t], by the weights of their
// values, and returns the sum of the exponentials.
func softmaxReference(scores []float32, h *KVHead, first, last int) float32 {
	maximum := float32(math.Inf(-1))
	for t := first; t < last; t++ {
		if scores[t] > maximum {
			maximum = scores[t]
		}
	}
	var lanes [16]float32
	for t := first; t < last; t++ {
		scores[t] = Exp(scores[t] - maximum)
		lanes[t%16] += scores[t]
		if h.Encoding == KVInt8 {
			scores[t] = float32(scores[t] * *h.valueScale(t))
		}
	}
	return sum16(&lanes)
}

// weighReference adds to out[row*stride:], for dimensions from <= d < to, the values of positions first <= t <
// ends[row] times weights[row*weightStride+t], and then divides it by sums[row] unless sums is nil. Ends are at
// least first and do not decrease.
func weighReference(out []float32, stride int, weights []float32, weightStride int, sums []float32, h *KVHead, rows, first int, ends [queryTile]int, from, to int) {
	for i, end := range ends[:rows] {
		result := out[i*stride+from : i*stride+to]
		for t := first; t < end; t++ {
			h.addValue(result, weights[i*weightStride+t], t, from)
		}
		if sums != nil {
			for d := range result {
				result[d] /= sums[i]
			}
		}
	}
}
