package kernels

import (
	"fmt"
	"math/bits"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
)

// KVEncoding says how the keys and values of past positions are kept.
type KVEncoding int

const (
	KVF32  KVEncoding = iota // float32
	KVF16                    // binary16, rounded to nearest even
	KVInt8                   // int8 with one float32 scale per head and position, for keys and for values
)

// String returns the name used on the command line.
func (e KVEncoding) String() string { return kvEncodings[e].name }

// Bytes returns the size of one number, without scales.
func (e KVEncoding) Bytes() int { return kvEncodings[e].bytes }

// kvEncodings holds what there is to know of each encoding.
var kvEncodings = [...]struct {
	name        string
	bytes       int // of a number
	scalesBytes int // of the scales of a position, keys' and values'
}{
	KVF32:  {"f32", 4, 0},
	KVF16:  {"f16", 2, 0},
	KVInt8: {"int8", 1, 8},
}

const (
	// headAlign is what the width of a head is padded to: the dot products sum by index modulo 16.
	headAlign = 16
	// blockPositions is the number of positions whose keys are interleaved, as the rows of a weight
	// panel are, so that one register holds a score for each of them.
	blockPositions = 16
)

// PaddedHead returns the width of a head as the cache and its queries store it.
func PaddedHead(width int) int { return roundUp(width, headAlign) }

// PaddedPositions returns the number of positions in whole blocks.
func PaddedPositions(n int) int { return roundUp(n, blockPositions) }

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// KVLayout says where the keys and values of all layers and heads lie in the pages of a KV cache.
//
// A page holds a number of consecutive positions. In it, one head of one layer follows another; each has
// its keys in blocks of 16 positions, [block, dimension, position in block], then its values in rows,
// [position, dimension], then, of int8, the scales of the keys and those of the values, [position] float32.
// Dimensions beyond the head's own width are zero in fresh pages and are never written.
type KVLayout struct {
	Encoding  KVEncoding
	Layers    int
	Heads     int // KV heads of a layer
	Width     int // dimensions of a head, padded to a multiple of 16
	Positions int // of a page, a power of two and at least 16
}

// NewKVLayout returns the layout for heads of the given width, in pages of the given number of positions,
// which must be a power of two and at least 16.
func NewKVLayout(encoding KVEncoding, layers, heads, width, positions int) KVLayout {
	if layers < 1 || heads < 1 || width < 1 || positions < blockPositions || bits.OnesCount(uint(positions)) != 1 || int(encoding) >= len(kvEncodings) {
		panic(fmt.Sprintf("kernels: no KV layout of %d layers, %d heads of %d, pages of %d, encoding %d", layers, heads, width, positions, encoding))
	}
	return KVLayout{Encoding: encoding, Layers: layers, Heads: heads, Width: PaddedHead(width), Positions: positions}
}

// PageBytes returns the length of a page.
func (l KVLayout) PageBytes() int { return l.Positions * l.PositionBytes() }

// PositionBytes returns what one position takes in all layers and heads: keys, values and scales.
func (l KVLayout) PositionBytes() int { return l.Layers * l.Heads * l.headPositionBytes() }

func (l KVLayout) headPositionBytes() int {
	e := kvEncodings[l.Encoding]
	return 2*l.Width*e.bytes + e.scalesBytes
}

// KVPage is the memory of one page.
type KVPage []byte

// KVHead is one head of one layer in the pages of a sequence: position p lies in page p / Positions.
type KVHead struct {
	Encoding  KVEncoding
	Width     int // padded
	Positions int // of a page

	pages []KVPage
	shift uint8 // the logarithm of Positions
	// Where in each page the head's parts begin.
	keys, values, keyScales, valueScales int
}

// Head returns a head's view of the pages of a sequence, which hold its positions in order.
func (l KVLayout) Head(pages []KVPage, layer, head int) KVHead {
	half := l.Positions * l.Width * l.Encoding.Bytes()
	keys := (layer*l.Heads + head) * l.Positions * l.headPositionBytes()
	return KVHead{
		Encoding: l.Encoding, Width: l.Width, Positions: l.Positions, pages: pages,
		shift: uint8(bits.TrailingZeros(uint(l.Positions))),
		keys:  keys, values: keys + half, keyScales: keys + 2*half, valueScales: keys + 2*half + 4*l.Positions,
	}
}

// capacity returns the number of positions that there are pages for.
func (h *KVHead) capacity() int { return len(h.pages) * h.Positions }

// page returns the number of the page that a position lies in, inside where in it.
func (h *KVHead) page(position int) int   { return position >> (h.shift & 63) }
func (h *KVHead) inside(position int) int { return position & (h.Positions - 1) }

// keyAt returns where in its page the first dimension of a position's key lies. The next ones follow at
// distances of 16 numbers.
func (h *KVHead) keyAt(position int) (page KVPage, offset int) {
	i := h.inside(position)
	lane := i % blockPositions
	return h.pages[h.page(position)], h.keys + ((i-lane)*h.Width+lane)*h.Encoding.Bytes()
}

// valueAt returns where in its page the value of a position lies.
func (h *KVHead) valueAt(position int) (page KVPage, offset int) {
	return h.pages[h.page(position)], h.values + h.inside(position)*h.Width*h.Encoding.Bytes()
}

// keyScale returns the place of the scale of a position's key.
func (h *KVHead) keyScale(position int) *float32 { return h.scale(position, h.keyScales) }

// valueScale returns the place of the scale of a position's value.
func (h *KVHead) valueScale(position int) *float32 { return h.scale(position, h.valueScales) }

func (h *KVHead) scale(position, scales int) *float32 {
	at := scales + 4*h.inside(position)
	return &format.Float32s(h.pages[h.page(position)][at : at+4])[0]
}

// storeReference writes the key and value of one position. Both have the head's own width; what the cache
// pads stays zero.
func storeReference(h *KVHead, position int, key, value []float32) {
	keyPage, keyAt := h.keyAt(position)
	valuePage, valueAt := h.valueAt(position)
	keys, values := keyPage[keyAt:], valuePage[valueAt:]
	switch h.Encoding {
	case KVF32:
		for i, k := range key {
			format.Float32s(keys[4*i*blockPositions:][:4])[0] = k
		}
		copy(format.Float32s(values[:4*len(value)]), value)
	case KVF16:
		for i, k := range key {
			format.Uint16s(keys[2*i*blockPositions:][:2])[0] = float16.FromFloat32(k)
		}
		for i, v := range value {
			format.Uint16s(values[2*i:][:2])[0] = float16.FromFloat32(v)
		}
	case KVInt8:
		var inverse float32
		*h.keyScale(position), inverse = scaleInt8(key)
		for i, k := range key {
			keys[i*blockPositions] = byte(codeInt8(k, inverse))
		}
		*h.valueScale(position), inverse = scaleInt8(value)
		for i, v := range value {
			values[i] = byte(codeInt8(v, inverse))
		}
	}
}
