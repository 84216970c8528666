package kernels

import (
	"maps"
	"slices"

	"github.com/tti-llm/tti/format"
)

// sets holds what this architecture has, the fastest first.
var sets = []*Set{amxSet(), avx512Set(), avxVNNISet(), avx2Set(), &reference}

// amxSet is avx512 with other products of integers with many tokens.
func amxSet() *Set {
	s := *avx512Set()
	s.name = "amx"
	s.supported = hasAMX
	s.matMul = maps.Clone(s.matMul)
	s.matMul[format.PanelInt8] = matMulTiles(withAMX(int8AVX512Tiles, int8AMXTiles))
	s.matMul[format.PanelInt4] = matMulTiles(withAMX(int4AVX512Tiles, int4AMXTiles))
	return &s
}

// withAMX returns the kernels of AMX, and those of AVX-512 for fewer tokens than there are any of.
func withAMX(avx512, amx [][]tile) [][]tile {
	kernels := slices.Clone(amx)
	for i, k := range amx {
		if len(k) == 0 {
			kernels[i] = avx512[i]
		}
	}
	return kernels
}

func avx512Set() *Set {
	s := withAVX512Rows(reference)
	s.name = "avx512"
	s.supported = func() bool { return hasAVX512 }
	s.matMul = map[format.Encoding]matMulKernel{
		format.PanelF32:  matMulTiles(f32AVX512Tiles),
		format.PanelF16:  matMulTiles(f16AVX512Tiles),
		format.PanelInt8: matMulTiles(int8AVX512Tiles),
		format.PanelInt4: matMulTiles(int4AVX512Tiles),
	}
	return &s
}

// avxVNNISet is avx2 with other products of integers.
func avxVNNISet() *Set {
	s := *avx2Set()
	s.name = "avxvnni"
	s.supported = func() bool { return hasAVXVNNI }
	s.matMul = maps.Clone(s.matMul)
	s.matMul[format.PanelInt8] = matMulTiles(int8AVXVNNITiles)
	s.matMul[format.PanelInt4] = matMulTiles(int4AVXVNNITiles)
	return &s
}

func avx2Set() *Set {
	s := withAVX2Rows(reference)
	s.name = "avx2"
	s.supported = func() bool { return hasAVX2 }
	s.matMul = map[format.Encoding]matMulKernel{
		format.PanelF32:  matMulTiles(f32AVX2Tiles),
		format.PanelF16:  matMulTiles(f16AVX2Tiles),
		format.PanelInt8: matMulTiles(int8AVX2Tiles),
		format.PanelInt4: matMulTiles(int4AVX2Tiles),
	}
	return &s
}
