package convert

import (
	"encoding/binary"
	"math"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
)

// decoders turn consecutive values of a source file, len(dst) of them, into float32. Every
// conversion is exact.
var decoders = map[safetensors.DType]func(dst []float32, src []byte){
	safetensors.F32: func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	},
	safetensors.F16: func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = float16.ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	},
	safetensors.BF16: func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	},
}

// values decodes consecutive values of the tensor, beginning with the given one.
func (t tensor) values(dst []float32, first int) {
	size := int(t.dtype.Size())
	decoders[t.dtype](dst, t.data[first*size:(first+len(dst))*size])
}

// panels decodes the rows of len(dst) / (16 * padded columns) panels of the matrix, beginning with
// the given panel. In dst rows follow one another, padded; rows and columns of padding are zero.
func (w weight) panels(dst []float32, first int) {
	padded := format.PaddedColumns(w.Shape[1])
	row := first * format.PanelRows
	count := min(len(dst)/padded, w.Shape[0]-row)
	w.rows(dst, row, count, padded)
	clear(dst[count*padded:])
}

// tileColumns of a row are written together when a matrix is transposed: one cache line.
const tileColumns = 16

// transpose decodes count rows of a matrix [rows, columns] that the source keeps as [columns,
// rows]. A tile of a few columns is decoded from consecutive memory and stays in the first-level
// cache while it is turned, so that both sides see whole cache lines.
func (t tensor) transpose(dst []float32, row, count, rows, columns, padded int) {
	tile := make([]float32, tileColumns*count)
	for column := 0; column < columns; column += tileColumns {
		width := min(tileColumns, columns-column)
		for k := range width {
			t.values(tile[k*count:(k+1)*count], (column+k)*rows+row)
		}
		for r := range count {
			line := dst[r*padded+column:][:width]
			for k := range line {
				line[k] = tile[k*count+r]
			}
		}
	}
}
