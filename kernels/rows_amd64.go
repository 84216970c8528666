package kernels

import "unsafe"

// rowKernels is the assembly behind the kernels of a set that are not matrix products. It takes
// pointers: the methods of Set have checked the sizes of what they point to, and a kernel touches
// exactly the elements that its plain-Go version does, except that attention reads whole blocks of 16
// keys, of which a cache has a whole number.
type rowKernels struct {
	quantize                     func(codes *int8, scales *float32, sums *int32, x *float32, groups int)
	layerNorm                    []layerNormKernel // of 1, 2, ... rows at once
	add                          func(dst, x *float32, n int)
	scale                        func(dst, x *float32, n int, factor float32)
	activate                     [3]func(x *float32, n int)
	argMax                       func(x *float32, n int) (index int, nan uint32)
	threshold                    func(x *float32, n, k int) float32
	collect                      func(indices *int32, x *float32, n int, threshold float32) int
	count                        func(x *float32, n int, value float32) (larger, equal int)
	read                         func(p *byte, quarter int) uint64
	storeKeyF16, storeValueF16   func(dst *uint16, src *float32, blocks int)
	storeKeyInt8, storeValueInt8 func(dst *int8, scale, src *float32, blocks int)

	softmax       func(scores *float32, count int) float32
	softmaxScaled func(scores, scales *float32, count int) float32
	attention     [3]attentionKernels // by encoding
}

// attentionKernels are the kernels for one encoding of keys and values, for tiles of 1, 2, ... queries. Tiles
// are of any size that there is a kernel to weigh for, which not every one is worth; scores of a larger tile
// than there are kernels for take several.
type attentionKernels struct {
	scores []scoresKernel
	weigh  [queryTile]weighKernel
}

type (
	layerNormKernel func(dst *float32, dstStride int, x *float32, xStride int, weight, bias *float32, n int, epsilon float32)
	scoresKernel    func(scores *float32, scoreStride int, q *float32, dimensions int, keys *byte, scales *float32, blocks int)
	weighKernel     func(out *float32, outStride int, weights *float32, weightStride int, sums *float32, dimensions int, values *byte, count int)
)

var avx512Rows = rowKernels{
	quantize:       quantizeAVX512,
	layerNorm:      []layerNormKernel{layerNormx1AVX512, layerNormx2AVX512, layerNormx3AVX512, layerNormx4AVX512},
	add:            addAVX512,
	scale:          scaleAVX512,
	activate:       [3]func(*float32, int){GELUTanh: geluTanhAVX512, GELU: geluErfAVX512, ReLU: reluAVX512},
	argMax:         argMaxAVX512,
	threshold:      thresholdAVX512,
	collect:        collectAVX512,
	count:          countAVX512,
	read:           readAVX2, // see the generator
	storeKeyF16:    storeKeyF16AVX512,
	storeValueF16:  storeValueF16AVX512,
	storeKeyInt8:   storeKeyInt8AVX512,
	storeValueInt8: storeValueInt8AVX512,
	softmax:        softmaxAVX512,
	softmaxScaled:  softmaxScaledAVX512,
	attention: [3]attentionKernels{
		CacheF32: {
			scores: []scoresKernel{scoresF32x1AVX512, scoresF32x2AVX512, scoresF32x3AVX512, scoresF32x4AVX512},
			weigh:  [queryTile]weighKernel{weighF32x1AVX512, weighF32x2AVX512, weighF32x3AVX512, weighF32x4AVX512},
		},
		CacheF16: {
			scores: []scoresKernel{scoresF16x1AVX512, scoresF16x2AVX512, scoresF16x3AVX512, scoresF16x4AVX512},
			weigh:  [queryTile]weighKernel{weighF16x1AVX2, weighF16x2AVX2, weighF16x3AVX512, weighF16x4AVX512},
		},
		CacheInt8: {
			scores: []scoresKernel{scoresInt8x1AVX512, scoresInt8x2AVX512, scoresInt8x3AVX512, scoresInt8x4AVX512},
			weigh:  [queryTile]weighKernel{weighInt8x1AVX512, weighInt8x2AVX512, weighInt8x3AVX512, weighInt8x4AVX512},
		},
	},
}

var avx2Rows = rowKernels{
	quantize:       quantizeAVX2,
	layerNorm:      []layerNormKernel{layerNormx1AVX2, layerNormx2AVX2},
	add:            addAVX2,
	scale:          scaleAVX2,
	activate:       [3]func(*float32, int){GELUTanh: geluTanhAVX2, GELU: geluErfAVX2, ReLU: reluAVX2},
	argMax:         argMaxAVX2,
	threshold:      thresholdAVX2,
	collect:        collectAVX2,
	count:          countAVX2,
	read:           readAVX2,
	storeKeyF16:    storeKeyF16AVX2,
	storeValueF16:  storeValueF16AVX2,
	storeKeyInt8:   storeKeyInt8AVX2,
	storeValueInt8: storeValueInt8AVX2,
	softmax:        softmaxAVX2,
	softmaxScaled:  softmaxScaledAVX2,
	attention: [3]attentionKernels{
		CacheF32: {
			scores: []scoresKernel{scoresF32x1AVX2, scoresF32x2AVX2},
			weigh:  [queryTile]weighKernel{weighF32x1AVX2, weighF32x2AVX2, nil, weighF32x4AVX2},
		},
		CacheF16: {
			scores: []scoresKernel{scoresF16x1AVX2, scoresF16x2AVX2},
			weigh:  [queryTile]weighKernel{weighF16x1AVX2, weighF16x2AVX2, nil, weighF16x4AVX2},
		},
		CacheInt8: {
			scores: []scoresKernel{scoresInt8x1AVX2, scoresInt8x2AVX2},
			weigh:  [queryTile]weighKernel{weighInt8x1AVX2, weighInt8x2AVX2, nil, weighInt8x4AVX2},
		},
	},
}

// withAVX512Rows returns s with all kernels but the matrix products replaced by those that need
// AVX-512 F, BW, DQ and VL besides AVX2, FMA and F16C.
func withAVX512Rows(s Set) Set { return avx512Rows.replaceIn(s) }

// withAVX2Rows returns s with all kernels but the matrix products replaced by those that need AVX2,
// FMA and F16C.
func withAVX2Rows(s Set) Set { return avx2Rows.replaceIn(s) }

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
	s.store = k.store
	s.attend = k.attend
	return s
}

// store is Head.Store with conversions in assembly, where the head fills whole blocks.
func (k *rowKernels) store(h *Head, position int, key, value []float32) {
	blocks := h.Dimensions / 16
	if h.Encoding == CacheF32 || len(key) != h.Dimensions || blocks == 0 {
		h.Store(position, key, value)
		return
	}
	keyAt := position/blockPositions*blockPositions*h.Dimensions + position%blockPositions
	valueAt := position * h.Dimensions
	switch h.Encoding {
	case CacheF16:
		k.storeKeyF16(&h.KeysF16[keyAt], &key[0], blocks)
		k.storeValueF16(&h.ValuesF16[valueAt], &value[0], blocks)
	case CacheInt8:
		k.storeKeyInt8(&h.KeysInt8[keyAt], &h.KeyScales[position], &key[0], blocks)
		k.storeValueInt8(&h.ValuesInt8[valueAt], &h.ValueScales[position], &value[0], blocks)
	}
}

// attend takes queries through the cache in tiles, as large ones as there are: those of a tile share the
// loads and conversions of keys and values. Scores of positions beyond a query's own are computed where
// they lie in its last block, but never used.
func (k *rowKernels) attend(out []float32, stride int, q []float32, h *Head, first, queries int, scores []float32) {
	keys, values, keyScales := h.pointers()
	kernels := &k.attention[h.Encoding]
	row := h.Positions
	sums := scores[queryTile*row:][:queryTile]
	for i := 0; i < queries; {
		tile := min(queryTile, queries-i)
		for kernels.weigh[tile-1] == nil {
			tile--
		}
		count := first + i + 1 // positions that the first query of the tile sees
		blocks := PaddedPositions(count+tile-1) / blockPositions
		for j := 0; j < tile; {
			together := min(len(kernels.scores), tile-j)
			kernels.scores[together-1](&scores[j*row], row, &q[(i+j)*h.Dimensions], h.Dimensions, keys, keyScales, blocks)
			j += together
		}
		for j := range tile {
			if h.Encoding == CacheInt8 {
				sums[j] = k.softmaxScaled(&scores[j*row], &h.ValueScales[0], count+j)
			} else {
				sums[j] = k.softmax(&scores[j*row], count+j)
			}
		}
		kernels.weigh[tile-1](&out[i*stride], stride, &scores[0], row, &sums[0], h.Dimensions, values, count)
		i += tile
	}
}

// pointers returns where the keys and values of h begin, and the scales of its keys.
func (h *Head) pointers() (keys, values *byte, keyScales *float32) {
	switch h.Encoding {
	case CacheF32:
		return (*byte)(unsafe.Pointer(&h.KeysF32[0])), (*byte)(unsafe.Pointer(&h.ValuesF32[0])), nil
	case CacheF16:
		return (*byte)(unsafe.Pointer(&h.KeysF16[0])), (*byte)(unsafe.Pointer(&h.ValuesF16[0])), nil
	}
	return (*byte)(unsafe.Pointer(&h.KeysInt8[0])), (*byte)(unsafe.Pointer(&h.ValuesInt8[0])), &h.KeyScales[0]
}
