package kernels

import (
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
	int8Tiles, int4Tiles := withAMX(int8AVX512Tiles, int8AMXTiles), withAMX(int4AVX512Tiles, int4AMXTiles)
	s.takeIntegers(int8Tiles, int4Tiles, singlePanels(int8Tiles), withAMX(int4AVX512Streams(), int4AMXTiles))
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
	s := avx512Rows.replaceIn(reference)
	s.name = "avx512"
	s.supported = func() bool { return hasAVX512 }
	s.matMul = map[format.Encoding]matMulKernel{
		format.PanelF32: matMulTiles(f32AVX512Tiles),
		format.PanelF16: matMulTiles(f16AVX512Tiles),
	}
	s.streams = map[format.Encoding]matMulKernel{
		format.PanelF32: matMulStreams(f32AVX512Tiles, fewerPanels(f32AVX512Tiles)),
		format.PanelF16: matMulStreams(f16AVX512Tiles, fewerPanels(f16AVX512Tiles)),
	}
	s.takeIntegers(int8AVX512Tiles, int4AVX512Tiles, singlePanels(int8AVX512Tiles), int4AVX512Streams())
	return &s
}

// int4AVX512Streams returns the kernels for weights from memory.
func int4AVX512Streams() [][]tile {
	if hasAVX512GFNI {
		return int4AVX512GFNITiles
	}
	return singlePanels(int4AVX512Tiles)
}

// avxVNNISet is avx2 with other products of integers.
func avxVNNISet() *Set {
	s := *avx2Set()
	s.name = "avxvnni"
	s.supported = func() bool { return hasAVXVNNI }
	s.takeIntegers(int8AVXVNNITiles, int4AVXVNNITiles, singlePanels(int8AVXVNNITiles), singlePanels(int4AVXVNNITiles))
	return &s
}

func avx2Set() *Set {
	s := avx2Rows.replaceIn(reference)
	s.name = "avx2"
	s.supported = func() bool { return hasAVX2 }
	s.matMul = map[format.Encoding]matMulKernel{
		format.PanelF32: matMulTiles(f32AVX2Tiles),
		format.PanelF16: matMulTiles(f16AVX2Tiles),
	}
	s.takeIntegers(int8AVX2Tiles, int4AVX2Tiles, singlePanels(int8AVX2Tiles), singlePanels(int4AVX2Tiles))
	return &s
}

// takeIntegers sets the products of integer encodings by their kernels: those for weights in the cache, and those for weights
// from memory.
func (s *Set) takeIntegers(int8Tiles, int4Tiles, int8Streams, int4Streams [][]tile) {
	s.matMul[format.PanelInt8] = matMulTiles(int8Tiles)
	s.matMul[format.PanelInt4] = matMulTiles(int4Tiles)
	if s.streams == nil {
		s.streams = make(map[format.Encoding]matMulKernel)
	}
	s.streams[format.PanelInt8] = matMulStreams(int8Tiles, int8Streams)
	s.streams[format.PanelInt4] = matMulStreams(int4Tiles, int4Streams)
}
