package kernels

var neonRows = rowKernels{
	quantize:       quantizeNEON,
	layerNorm:      []layerNormKernel{layerNormx1NEON, layerNormx2NEON},
	rmsNorm:        []rmsNormKernel{rmsNormx1NEON, rmsNormx2NEON},
	rotate:         rotateNEON,
	add:            addNEON,
	scale:          scaleNEON,
	activate:       [activationFunctions]func(*float32, int){GELUTanh: geluTanhNEON, GELU: geluErfNEON, ReLU: reluNEON, SiLU: siluNEON},
	gate:           [activationFunctions]func(gate, up *float32, n int){GELUTanh: geluTanhGateNEON, GELU: geluErfGateNEON, ReLU: reluGateNEON, SiLU: siluGateNEON},
	softCap:        softCapNEON,
	argMax:         argMaxNEON,
	threshold:      thresholdNEON,
	collect:        collectNEON,
	count:          countNEON,
	read:           readNEON,
	storeKeyF16:    storeKeyF16NEON,
	storeValueF16:  storeValueF16NEON,
	storeKeyInt8:   storeKeyInt8NEON,
	storeValueInt8: storeValueInt8NEON,
	softmax:        softmaxNEON,
	softmaxScaled:  softmaxScaledNEON,
	attention: [3]attentionKernels{
		KVF32: {
			scores: [queryTile]scoresKernel{scoresF32x1NEON, scoresF32x2NEON, scoresF32x3NEON, scoresF32x4NEON},
			weigh:  [queryTile]weighKernel{weighF32x1NEON, weighF32x2NEON, weighF32x3NEON, weighF32x4NEON},
		},
		KVF16: {
			scores: [queryTile]scoresKernel{scoresF16x1NEON, scoresF16x2NEON, scoresF16x3NEON, scoresF16x4NEON},
			weigh:  [queryTile]weighKernel{weighF16x1NEON, weighF16x2NEON, weighF16x3NEON, weighF16x4NEON},
		},
		KVInt8: {
			scores: [queryTile]scoresKernel{scoresInt8x1NEON, scoresInt8x2NEON, scoresInt8x3NEON, scoresInt8x4NEON},
			weigh:  [queryTile]weighKernel{weighInt8x1NEON, weighInt8x2NEON, weighInt8x3NEON, weighInt8x4NEON},
		},
	},
}
