package format

import (
	"fmt"
	"math"
)

const (
	// PanelRows is the number of weight rows interleaved in one panel: as many as one 64-byte
	// register holds int32 or float32 sums.
	PanelRows = 16
	// GroupColumns is the number of columns that share an int4 scale and an activation scale.
	// Every panel is padded with zero columns to a multiple of it.
	GroupColumns = 64
	// Alignment of every section in the file, in bytes: a cache line and an AVX-512 register.
	Alignment = 64

	// MaxRank is the largest number of dimensions of a section.
	MaxRank = 4
)

// Encoding says how the bytes of a section stand for its values. FORMAT.md describes each one.
type Encoding uint32

const (
	Bytes     Encoding = 0  // opaque bytes, shape [length]
	Float32   Encoding = 1  // row-major little-endian float32
	PanelF32  Encoding = 16 // panels of float32
	PanelF16  Encoding = 17 // panels of IEEE 754 binary16
	PanelInt8 Encoding = 18 // panels of int8 stored +128, then one float32 scale per row
	PanelInt4 Encoding = 19 // panels of int4 stored +8, then one binary16 scale per row and group
)

// encodings is the one table of what the format knows about each encoding. Panel encodings hold a matrix
// [out, in]: the codes of all padded weights, then the scales, if any.
var encodings = map[Encoding]struct {
	name  string
	rank  int // 0: any rank from 1 to MaxRank
	panel bool
	size  func(elements, rows, columns int64) int64 // bytes; of panels by padded rows and columns, of others by elements
}{
	Bytes:     {"bytes", 1, false, func(n, _, _ int64) int64 { return n }},
	Float32:   {"float32", 0, false, func(n, _, _ int64) int64 { return 4 * n }},
	PanelF32:  {"f32", 2, true, func(_, r, c int64) int64 { return 4 * r * c }},
	PanelF16:  {"f16", 2, true, func(_, r, c int64) int64 { return 2 * r * c }},
	PanelInt8: {"int8", 2, true, func(_, r, c int64) int64 { return r*c + 4*r }},
	PanelInt4: {"int4", 2, true, func(_, r, c int64) int64 { return r*c/2 + 2*r*(c/GroupColumns) }},
}

// String returns the name FORMAT.md and the command line use.
func (e Encoding) String() string {
	if known, ok := encodings[e]; ok {
		return known.name
	}
	return fmt.Sprintf("encoding(%d)", uint32(e))
}

// IsPanel reports whether the encoding holds a weight matrix in panels.
func (e Encoding) IsPanel() bool { return encodings[e].panel }

// PaddedRows returns rows rounded up to whole panels.
func PaddedRows(rows int) int { return (rows + PanelRows - 1) / PanelRows * PanelRows }

// PaddedColumns returns columns rounded up to whole groups.
func PaddedColumns(columns int) int {
	return (columns + GroupColumns - 1) / GroupColumns * GroupColumns
}

// maxElements bounds the padded elements of one section so that no product below can overflow:
// four bytes each and the scales stay far under 1<<63.
const maxElements = math.MaxInt64 / 64

// Size returns the exact length in bytes of a section of this encoding and shape. It fails,
// without overflowing, for an unknown encoding, a wrong rank and dimensions that are not positive
// or whose product no file could hold.
func (e Encoding) Size(shape []int) (int64, error) {
	known, ok := encodings[e]
	if !ok {
		return 0, fmt.Errorf("%w: %v", ErrUnsupported, e)
	}
	if len(shape) < 1 || len(shape) > MaxRank || known.rank != 0 && len(shape) != known.rank {
		return 0, fmt.Errorf("shape %v does not fit encoding %v", shape, e)
	}
	elements := int64(1)
	for _, dimension := range shape {
		padded := int64(dimension)
		if known.panel {
			padded += GroupColumns // an upper bound of what padding adds
		}
		if dimension <= 0 || padded <= 0 || padded > maxElements/elements {
			return 0, fmt.Errorf("shape %v is out of range", shape)
		}
		elements *= padded
	}
	if known.panel {
		return known.size(0, int64(PaddedRows(shape[0])), int64(PaddedColumns(shape[1]))), nil
	}
	return known.size(elements, 0, 0), nil
}
