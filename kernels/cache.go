package kernels

import (
	"fmt"

	"github.com/tti-llm/tti/format/float16"
)

// CacheEncoding says how the keys and values of past positions are kept.
type CacheEncoding int

const (
	CacheF32  CacheEncoding = iota // float32
	CacheF16                       // binary16, rounded to nearest even
	CacheInt8                      // int8 with one float32 scale per head and position
)

// String returns the name used on the command line.
func (e CacheEncoding) String() string {
	return [...]string{"f32", "f16", "int8"}[e]
}

// headAlign is what the width of a head is padded to: the dot products sum by index modulo 16.
const headAlign = 16

// blockPositions is the number of positions whose keys are interleaved, as the rows of a weight
// panel are, so that one register holds a score for each of them.
const blockPositions = 16

// Head is the KV cache of one attention head of one layer. Keys lie in blocks of 16 positions,
// [block, dimension, position in block], values in rows, [position, dimension]. Dimensions beyond
// the head's own are zero. Only the slices of its own encoding are set.
type Head struct {
	Encoding   CacheEncoding
	Dimensions int // padded to a multiple of 16
	Positions  int // capacity, a multiple of 16

	KeysF32, ValuesF32   []float32
	KeysF16, ValuesF16   []uint16
	KeysInt8, ValuesInt8 []int8
	// KeyScales and ValueScales of int8, one per position.
	KeyScales, ValueScales []float32
}

// PaddedHead returns the width of a head as the cache and its queries store it.
func PaddedHead(dimensions int) int { return (dimensions + headAlign - 1) / headAlign * headAlign }

// PaddedPositions returns the number of positions a cache for n positions really holds.
func PaddedPositions(n int) int {
	return (n + blockPositions - 1) / blockPositions * blockPositions
}

// NewHeads returns the caches of count heads with the given width and number of positions. They
// share one allocation for each array.
func NewHeads(encoding CacheEncoding, count, dimensions, positions int) []Head {
	heads := make([]Head, count)
	dimensions, positions = PaddedHead(dimensions), PaddedPositions(positions)
	for i := range heads {
		heads[i] = Head{Encoding: encoding, Dimensions: dimensions, Positions: positions}
	}
	size := dimensions * positions
	switch encoding {
	case CacheF32:
		keys, values := make([]float32, count*size), make([]float32, count*size)
		for i := range heads {
			heads[i].KeysF32, heads[i].ValuesF32 = part(keys, i, size), part(values, i, size)
		}
	case CacheF16:
		keys, values := make([]uint16, count*size), make([]uint16, count*size)
		for i := range heads {
			heads[i].KeysF16, heads[i].ValuesF16 = part(keys, i, size), part(values, i, size)
		}
	case CacheInt8:
		keys, values := make([]int8, count*size), make([]int8, count*size)
		scales := make([]float32, 2*count*positions)
		for i := range heads {
			heads[i].KeysInt8, heads[i].ValuesInt8 = part(keys, i, size), part(values, i, size)
			heads[i].KeyScales, heads[i].ValueScales = part(scales, 2*i, positions), part(scales, 2*i+1, positions)
		}
	default:
		panic(fmt.Sprintf("kernels: unknown cache encoding %d", int(encoding)))
	}
	return heads
}

func part[T any](all []T, i, size int) []T { return all[i*size : (i+1)*size : (i+1)*size] }

// BytesPerPosition returns how much a position of one head occupies, keys, values and scales.
func (h *Head) BytesPerPosition() int {
	return 2*h.Dimensions*[...]int{4, 2, 1}[h.Encoding] + [...]int{0, 0, 8}[h.Encoding]
}

// Store writes the key and value of one position. Both have the head's own width; what the cache
// pads stays zero.
func (h *Head) Store(position int, key, value []float32) {
	block := position / blockPositions * blockPositions * h.Dimensions
	lane := position % blockPositions
	row := position * h.Dimensions
	switch h.Encoding {
	case CacheF32:
		for i, k := range key {
			h.KeysF32[block+i*blockPositions+lane] = k
		}
		copy(h.ValuesF32[row:], value)
	case CacheF16:
		for i, k := range key {
			h.KeysF16[block+i*blockPositions+lane] = float16.FromFloat32(k)
		}
		for i, v := range value {
			h.ValuesF16[row+i] = float16.FromFloat32(v)
		}
	case CacheInt8:
		var inverse float32
		h.KeyScales[position], inverse = scaleInt8(key)
		for i, k := range key {
			h.KeysInt8[block+i*blockPositions+lane] = codeInt8(k, inverse)
		}
		h.ValueScales[position], inverse = scaleInt8(value)
		for i, v := range value {
			h.ValuesInt8[row+i] = codeInt8(v, inverse)
		}
	}
}
