package quant

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/panel"
)

const (
	rows   = format.PanelRows
	groups = format.GroupColumns
)

// ValueError is a weight that an encoding cannot hold.
type ValueError struct {
	Row, Column int
	Value       float32
	Encoding    format.Encoding
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("value %v at [%d %d] does not fit encoding %v", e.Value, e.Row, e.Column, e.Encoding)
}

// Encoder encodes a matrix panel by panel, in any order. It is not safe for concurrent use.
type Encoder struct {
	encoding format.Encoding
	rows     int
	columns  int
	padded   int
	scales   []byte

	importance []float32 // for each padded column
}

// NewEncoder returns an encoder for a matrix [rowCount, columns].
func NewEncoder(encoding format.Encoding, rowCount, columns int) (*Encoder, error) {
	if !encoding.IsPanel() {
		return nil, fmt.Errorf("encoding %v is not a panel encoding", encoding)
	}
	size, err := encoding.Size([]int{rowCount, columns})
	if err != nil {
		return nil, err
	}
	e := &Encoder{encoding: encoding, rows: rowCount, columns: columns, padded: format.PaddedColumns(columns)}
	codes := int64(e.Panels()) * int64(e.PanelBytes())
	e.scales = make([]byte, size-codes)
	e.importance = make([]float32, e.padded)
	for k := range e.importance {
		e.importance[k] = 1
	}
	return e, nil
}

// Weigh gives the squared errors of a column's weights a factor when the scales of int4 groups are
// chosen: the variance of the input that the column is multiplied with, as far as it is known. Without
// it all columns count alike. importance has a factor for each column and is used by no other encoding.
func (e *Encoder) Weigh(importance []float32) { copy(e.importance[:e.columns], importance) }

// Panels returns the number of panels of the matrix.
func (e *Encoder) Panels() int { return format.PaddedRows(e.rows) / rows }

// PanelBytes returns the length of the codes of one panel.
func (e *Encoder) PanelBytes() int { return panel.Bytes(e.encoding, e.padded) }

// Scales returns what follows the codes of all panels in the section: complete once every panel
// has been encoded, empty for encodings without scales.
func (e *Encoder) Scales() []byte { return e.scales }

// EncodePanel writes the codes of panel p to dst (PanelBytes long) and keeps its scales. weights
// holds the panel's 16 rows one after the other, [16, PaddedColumns], padding rows and columns
// zero. A weight that is not finite, or that the encoding cannot hold, is a *ValueError.
func (e *Encoder) EncodePanel(dst []byte, p int, weights []float32) error {
	if p < 0 || p >= e.Panels() || len(dst) != e.PanelBytes() || len(weights) != rows*e.padded {
		panic(fmt.Sprintf("quant: panel %d of %d, %d weights into %d bytes", p, e.Panels(), len(weights), len(dst)))
	}
	if err := e.check(p, weights); err != nil {
		return err
	}
	switch e.encoding {
	case format.PanelF32:
		e.encodeF32(dst, weights)
	case format.PanelF16:
		e.encodeF16(dst, weights)
	case format.PanelInt8:
		e.encodeInt8(dst, p, weights)
	case format.PanelInt4:
		e.encodeInt4(dst, p, weights)
	}
	return nil
}

// limits are the largest magnitudes that still have a code: for binary16 what rounds to a finite
// value, for int4 what keeps a group's binary16 scale finite.
var limits = map[format.Encoding]float32{
	format.PanelF32:  math.MaxFloat32,
	format.PanelF16:  float16.Max + 15,
	format.PanelInt8: math.MaxFloat32,
	format.PanelInt4: float16.Max * 7,
}

func (e *Encoder) check(p int, weights []float32) error {
	limit := limits[e.encoding]
	for i, w := range weights {
		if !(w <= limit && w >= -limit) { // NaN fails both
			return &ValueError{Row: p*rows + i/e.padded, Column: i % e.padded, Value: w, Encoding: e.encoding}
		}
	}
	return nil
}

func (e *Encoder) encodeF32(dst []byte, weights []float32) {
	for k := range e.padded {
		for r := range rows {
			binary.LittleEndian.PutUint32(dst[(k*rows+r)*4:], math.Float32bits(weights[r*e.padded+k]))
		}
	}
}

func (e *Encoder) encodeF16(dst []byte, weights []float32) {
	for k := range e.padded {
		for r := range rows {
			binary.LittleEndian.PutUint16(dst[(k*rows+r)*2:], float16.FromFloat32(weights[r*e.padded+k]))
		}
	}
}

func (e *Encoder) encodeInt8(dst []byte, p int, weights []float32) {
	for r := range rows {
		row := weights[r*e.padded : (r+1)*e.padded]
		scale := searchInt8(row)
		binary.LittleEndian.PutUint32(e.scales[(p*rows+r)*4:], math.Float32bits(scale))
		inverse := inverseOf(scale)
		for k := 0; k < len(row); k += 4 {
			var line uint32
			for c, w := range row[k : k+4] {
				line |= uint32(byte(int32(int8Value(float32(w*inverse)))+panel.Int8Offset)) << (8 * c)
			}
			binary.LittleEndian.PutUint32(dst[k*rows+r*4:], line)
		}
	}
}

func (e *Encoder) encodeInt4(dst []byte, p int, weights []float32) {
	perRow := e.padded / groups
	for r := range rows {
		for g := range perRow {
			group := (*[groups]float32)(weights[r*e.padded+g*groups:])
			stored := searchInt4(group, (*[groups]float32)(e.importance[g*groups:]))
			binary.LittleEndian.PutUint16(e.scales[((p*perRow+g)*rows+r)*2:], stored)
			inverse := inverseOf(float16.ToFloat32(stored))
			for k := 0; k < groups; k += 8 {
				var line uint32
				for c := range 4 {
					low := int4Code(float32(group[k+c] * inverse))
					high := int4Code(float32(group[k+4+c] * inverse))
					line |= uint32(low|high<<4) << (8 * c)
				}
				binary.LittleEndian.PutUint32(dst[(g*groups+k)*rows/2+r*4:], line)
			}
		}
	}
}

// store writes the codes of row r of panel p to dst and keeps its scales.
func (e *Encoder) store(dst []byte, p, r int, codes, scales []float32) {
	if e.encoding == format.PanelInt8 {
		binary.LittleEndian.PutUint32(e.scales[(p*rows+r)*4:], math.Float32bits(scales[0]))
		for k, code := range codes {
			dst[k/4*64+r*4+k%4] = byte(int(code) + panel.Int8Offset)
		}
		return
	}
	for g, scale := range scales {
		binary.LittleEndian.PutUint16(e.scales[((p*len(scales)+g)*rows+r)*2:], float16.FromFloat32(scale))
	}
	for k := 0; k < len(codes); k += 8 {
		for c := range 4 {
			low, high := int(codes[k+c])+panel.Int4Offset, int(codes[k+4+c])+panel.Int4Offset
			dst[k*rows/2+r*4+c] = byte(low | high<<4)
		}
	}
}
