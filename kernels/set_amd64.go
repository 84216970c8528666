package kernels

import "github.com/tti-llm/tti/format"

// sets holds what this architecture has, the fastest first.
var sets = []*Set{&avx512, &avx2, &reference}

var avx512 = Set{
	name:      "avx512",
	supported: func() bool { return hasAVX512 },
	matMul: map[format.Encoding]matMulKernel{
		format.PanelF32:  matMulTiles(f32AVX512Tiles),
		format.PanelF16:  matMulTiles(f16AVX512Tiles),
		format.PanelInt8: matMulTiles(int8AVX512Tiles),
		format.PanelInt4: matMulTiles(int4AVX512Tiles),
	},
	quantize:  reference.quantize,
	layerNorm: reference.layerNorm,
	activate:  reference.activate,
	add:       reference.add,
	attend:    reference.attend,
}

var avx2 = Set{
	name:      "avx2",
	supported: func() bool { return hasAVX2 },
	matMul: map[format.Encoding]matMulKernel{
		format.PanelF32:  matMulTiles(f32AVX2Tiles),
		format.PanelF16:  matMulTiles(f16AVX2Tiles),
		format.PanelInt8: matMulTiles(int8AVX2Tiles),
		format.PanelInt4: matMulTiles(int4AVX2Tiles),
	},
	quantize:  reference.quantize,
	layerNorm: reference.layerNorm,
	activate:  reference.activate,
	add:       reference.add,
	attend:    reference.attend,
}
