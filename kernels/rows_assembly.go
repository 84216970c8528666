//go:build amd64 || arm64

package kernels

import "math"

// rowKernels is the assembly behind the kernels of a set that are not matrix products. It takes
// pointers: the methods of Set have checked the sizes of what they point to, and a kernel touches
// exactly the elements that its plain-Go version does, except that attention reads whole blocks of 16
// keys, of which a page has a whole number. Pages are passed as a pointer to the first of their slices: a
// kernel reads the addresses that begin these, of as many pages as hold the positions asked for.
type rowKernels struct {
	quantize                     func(codes *int8, scales *float32, sums *int32, x *float32, groups int)
	layerNorm                    []layerNormKernel // of 1, 2, ... rows at once
	rmsNorm                      []rmsNormKernel   // likewise
	rotate                       func(x, cos, sin *float32, half int)
	add                          func(dst, x *float32, n int)
	scale                        func(dst, x *float32, n int, factor float32)
	activate                     [activationFunctions]func(x *float32, n int)
	gate                         [activationFunctions]func(gate, up *float32, n int)
	softCap                      func(x *float32, n int, limit float32)
	argMax                       func(x *float32, n int) (index int, nan uint32)
	threshold                    func(x *float32, n, k int) float32
	collect                      func(indices *int32, x *float32, n int, threshold float32) int
	count                        func(x *float32, n int, value float32) (larger, equal int)
	read                         func(p *byte, quarter int) uint64
	storeKeyF16, storeValueF16   func(dst *byte, src *float32, blocks int)
	storeKeyInt8, storeValueInt8 func(dst *byte, scale, src *float32, blocks int)

	softmax       func(scores *float32, count int) float32
	softmaxScaled func(scores *float32, pages *[]byte, scales, pageBlocks, skip, count int) float32
	attention     [3]attentionKernels // by encoding
}

// attentionKernels are the kernels for one encoding of keys and values. Entry i of each list is for i+1 rows of
// queries; nil where two smaller ones are as fast.
type attentionKernels struct {
	scores [queryTile]scoresKernel
	weigh  [queryTile]weighKernel
}

type (
	layerNormKernel func(dst *float32, dstStride int, x *float32, xStride int, weight, bias *float32, n int, epsilon float32)
	rmsNormKernel   func(dst *float32, dstStride int, x *float32, xStride int, weight *float32, n int, epsilon float32)
	scoresKernel    func(scores *float32, scoreStride int, q *float32, dimensions int, pages *[]byte, keys, scales, pageBlocks, skip, blocks int)
	weighKernel     func(out *float32, outStride int, weights *float32, weightStride int, sums *float32, dimensions, width int, pages *[]byte, values, pagePositions, first int, ends [queryTile]int)
)

// replaceIn returns s with all kernels but the matrix products replaced by these.
func (k *rowKernels) replaceIn(s Set) Set {
	s.quantize = func(codes []int8, scales []float32, sums []int32, x []float32) {
		if n := len(scales); n > 0 {
			k.quantize(&codes[0], &scales[0], &sums[0], &x[0], n)
		}
	}
	s.layerNorm = func(dst []float32, dstStride int, x []float32, xStride, rows int, weight, bias []float32, epsilon float32) {
		for first := 0; first < rows; first += len(k.layerNorm) {
			normalize := k.layerNorm[min(len(k.layerNorm), rows-first)-1]
			normalize(&dst[first*dstStride], dstStride, &x[first*xStride], xStride, &weight[0], &bias[0], len(weight), epsilon)
		}
	}
	s.rmsNorm = func(dst []float32, dstStride int, x []float32, xStride, rows int, weight []float32, epsilon float32) {
		for first := 0; first < rows; first += len(k.rmsNorm) {
			normalize := k.rmsNorm[min(len(k.rmsNorm), rows-first)-1]
			normalize(&dst[first*dstStride], dstStride, &x[first*xStride], xStride, &weight[0], len(weight), epsilon)
		}
	}
	s.rotate = func(x, cos, sin []float32) {
		if half := len(cos); half > 0 {
			k.rotate(&x[0], &cos[0], &sin[0], half)
		}
	}
	s.add = func(dst, x []float32) {
		if n := len(x); n > 0 {
			k.add(&dst[0], &x[0], n)
		}
	}
	s.scale = func(dst, x []float32, factor float32) {
		if n := len(x); n > 0 {
			k.scale(&dst[0], &x[0], n, factor)
		}
	}
	for i, activate := range k.activate {
		s.activate[i] = func(x []float32) {
			if n := len(x); n > 0 {
				activate(&x[0], n)
			}
		}
	}
	s.gate = func(f ActivationFunction, gate, up []float32) {
		if n := len(gate); n > 0 {
			k.gate[f](&gate[0], &up[0], n)
		}
	}
	s.softCap = func(x []float32, limit float32) {
		if n := len(x); n > 0 {
			k.softCap(&x[0], n, limit)
		}
	}
	s.argMax = func(x []float32) (int, bool) {
		index, nan := k.argMax(&x[0], len(x))
		return index, nan != 0
	}
	s.threshold = func(x []float32, count int) float32 {
		return k.threshold(&x[0], len(x), count)
	}
	s.collect = func(indices []int32, x []float32, threshold float32) int {
		if len(x) == 0 {
			return 0
		}
		return k.collect(&indices[0], &x[0], len(x), threshold)
	}
	s.count = func(x []float32, value float32) (larger, equal int) {
		if len(x) == 0 {
			return 0, 0
		}
		return k.count(&x[0], len(x), value)
	}
	s.read = func(b []byte) uint64 {
		quarter := len(b) / 4 &^ 127
		if quarter == 0 {
			return readReference(b)
		}
		return k.read(&b[0], quarter) ^ readReference(b[4*quarter:])
	}
	s.store, s.scores, s.softmax, s.weigh = k.store, k.attentionScores, k.attentionSoftmax, k.attentionWeigh
	return s
}

// store is storeReference with conversions in assembly, where the head fills whole blocks.
func (k *rowKernels) store(h *KVHead, position int, key, value []float32) {
	if h.Encoding == KVF32 || len(key) != h.Width {
		storeReference(h, position, key, value)
		return
	}
	blocks := h.Width / headAlign
	keyPage, keyAt := h.keyAt(position)
	valuePage, valueAt := h.valueAt(position)
	switch keys, values := &keyPage[keyAt], &valuePage[valueAt]; h.Encoding {
	case KVF16:
		k.storeKeyF16(keys, &key[0], blocks)
		k.storeValueF16(values, &value[0], blocks)
	case KVInt8:
		k.storeKeyInt8(keys, h.keyScale(position), &key[0], blocks)
		k.storeValueInt8(values, h.valueScale(position), &value[0], blocks)
	}
}

// walk returns the slice that a walk through the pages begins with. Scores, softmax and weigh have been checked
// to ask for positions that there are pages for.
func (h *KVHead) walk(position int) *[]byte { return (*[]byte)(&h.pages[h.page(position)]) }

// attentionScores begins with a whole block. It also computes the scores of positions behind the last one, where these lie
// in the same block; nobody uses them.
func (k *rowKernels) attentionScores(scores []float32, stride int, q []float32, rows int, h *KVHead, first, last int) {
	kernels := &k.attention[h.Encoding].scores
	skip, blocks := h.inside(first)/blockPositions, PaddedPositions(last-first)/blockPositions
	for i := 0; i < rows; {
		tile := rows - i
		for kernels[tile-1] == nil {
			tile--
		}
		kernels[tile-1](&scores[i*stride+first], stride, &q[i*h.Width], h.Width, h.walk(first), h.keys, h.keyScales, h.Positions/blockPositions, skip, blocks)
		i += tile
	}
}

// attentionSoftmax begins with a whole block: what precedes the first score in it becomes a weight of zero, which
// no sum notices.
func (k *rowKernels) attentionSoftmax(scores []float32, h *KVHead, first, last int) float32 {
	begin := first / blockPositions * blockPositions
	for t := begin; t < first; t++ {
		scores[t] = float32(math.Inf(-1))
	}
	if h.Encoding != KVInt8 {
		return k.softmax(&scores[begin], last-begin)
	}
	skip := h.inside(begin) / blockPositions
	return k.softmaxScaled(&scores[begin], h.walk(begin), h.valueScales, h.Positions/blockPositions, skip, last-begin)
}

func (k *rowKernels) attentionWeigh(out []float32, stride int, weights []float32, weightStride int, sums []float32, h *KVHead, rows, first int, ends [queryTile]int, from, to int) {
	kernels := &k.attention[h.Encoding].weigh
	// There need not be a page for first where nothing is weighed, but only divided.
	page, offset := h.walk(min(first, h.capacity()-1)), h.values+from*h.Encoding.Bytes()
	base := first - h.inside(first)
	for i := range ends {
		ends[i] -= base
	}
	for i := 0; i < rows; {
		tile := rows - i
		for kernels[tile-1] == nil {
			tile--
		}
		var divisors *float32
		if sums != nil {
			divisors = &sums[i]
		}
		kernels[tile-1](&out[i*stride+from], stride, &weights[i*weightStride+first], weightStride, divisors, to-from, h.Width, page, offset, h.Positions, first-base, ends)
		copy(ends[:], ends[tile:])
		i += tile
	}
}
