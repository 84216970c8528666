package kernels

// avx512Rows are all kernels but the matrix products, by AVX-512 F, BW, DQ and VL besides AVX2, FMA and F16C.
var avx512Rows = rowKernels{
	quantize:       quantizeAVX512,
	layerNorm:      []layerNormKernel{layerNormx1AVX512, layerNormx2AVX512, layerNormx3AVX512, layerNormx4AVX512},
	rmsNorm:        []rmsNormKernel{rmsNormx1AVX512, rmsNormx2AVX512, rmsNormx3AVX512, rmsNormx4AVX512},
	rotate:         rotateAVX512,
	add:            addAVX512,
	scale:          scaleAVX512,
	activate:       [activationFunctions]func(*float32, int){GELUTanh: geluTanhAVX512, GELU: geluErfAVX512, ReLU: reluAVX512, SiLU: siluAVX512},
	gate:           [activationFunctions]func(gate, up *float32, n int){GELUTanh: geluTanhGateAVX512, GELU: geluErfGateAVX512, ReLU: reluGateAVX512, SiLU: siluGateAVX512},
	softCap:        softCapAVX512,
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
		KVF32: {
			scores: [queryTile]scoresKernel{scoresF32x1AVX512, scoresF32x2AVX512, scoresF32x3AVX512, scoresF32x4AVX512},
			weigh:  [queryTile]weighKernel{weighF32x1AVX512, weighF32x2AVX512, weighF32x3AVX512, weighF32x4AVX512},
		},
		KVF16: {
			scores: [queryTile]scoresKernel{scoresF16x1AVX512, scoresF16x2AVX512, scoresF16x3AVX512, scoresF16x4AVX512},
			weigh:  [queryTile]weighKernel{weighF16x1AVX2, weighF16x2AVX512, weighF16x3AVX512, weighF16x4AVX512},
		},
		KVInt8: {
			scores: [queryTile]scoresKernel{scoresInt8x1AVX512, scoresInt8x2AVX512, scoresInt8x3AVX512, scoresInt8x4AVX512},
			weigh:  [queryTile]weighKernel{weighInt8x1AVX512, weighInt8x2AVX512, weighInt8x3AVX512, weighInt8x4AVX512},
		},
	},
}

// avx2Rows are all kernels but the matrix products, by AVX2, FMA and F16C.
var avx2Rows = rowKernels{
	quantize:       quantizeAVX2,
	layerNorm:      []layerNormKernel{layerNormx1AVX2, layerNormx2AVX2},
	rmsNorm:        []rmsNormKernel{rmsNormx1AVX2, rmsNormx2AVX2},
	rotate:         rotateAVX2,
	add:            addAVX2,
	scale:          scaleAVX2,
	activate:       [activationFunctions]func(*float32, int){GELUTanh: geluTanhAVX2, GELU: geluErfAVX2, ReLU: reluAVX2, SiLU: siluAVX2},
	gate:           [activationFunctions]func(gate, up *float32, n int){GELUTanh: geluTanhGateAVX2, GELU: geluErfGateAVX2, ReLU: reluGateAVX2, SiLU: siluGateAVX2},
	softCap:        softCapAVX2,
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
		KVF32: {
			scores: [queryTile]scoresKernel{scoresF32x1AVX2, scoresF32x2AVX2},
			weigh:  [queryTile]weighKernel{weighF32x1AVX2, weighF32x2AVX2, nil, weighF32x4AVX2},
		},
		KVF16: {
			scores: [queryTile]scoresKernel{scoresF16x1AVX2, scoresF16x2AVX2},
			weigh:  [queryTile]weighKernel{weighF16x1AVX2, weighF16x2AVX2, nil, weighF16x4AVX2},
		},
		KVInt8: {
			scores: [queryTile]scoresKernel{scoresInt8x1AVX2, scoresInt8x2AVX2},
			weigh:  [queryTile]weighKernel{weighInt8x1AVX2, weighInt8x2AVX2, nil, weighInt8x4AVX2},
		},
	},
}
