// Package panel is a view of a weight matrix in the panels of a section, as FORMAT.md describes them. It
// decodes rows; it never encodes them, which is for package quant.
package panel

import (
	"fmt"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
)

const (
	rows  = format.PanelRows
	group = format.GroupColumns

	// Int8Offset and Int4Offset are added to a code before it is stored, which makes the weights
	// the unsigned operand of the dot-product instructions.
	Int8Offset = 128
	Int4Offset = 8
)

// Matrix is a weight matrix [Rows, Columns] in panels: Rows are outputs, Columns inputs. It is a
// view; nothing in it is copied from the section it was made from.
type Matrix struct {
	Encoding format.Encoding
	Rows     int // without padding
	Columns  int // without padding

	// Codes holds the panels one after the other, PanelBytes each.
	Codes []byte
	// RowScales of int8: one for each padded row.
	RowScales []float32
	// GroupScales of int4: binary16, 16 rows of a group side by side, groups of a panel in order.
	GroupScales []uint16
}

// View interprets the bytes of a panel section as a matrix of the given size. It fails if the
// encoding is not a panel encoding or the length does not fit.
func View(encoding format.Encoding, rowCount, columns int, section []byte) (Matrix, error) {
	if !encoding.IsPanel() {
		return Matrix{}, fmt.Errorf("encoding %v is not a panel encoding", encoding)
	}
	size, err := encoding.Size([]int{rowCount, columns})
	if err != nil {
		return Matrix{}, err
	}
	if int64(len(section)) != size {
		return Matrix{}, fmt.Errorf("%v matrix [%d %d]: %d bytes, want %d", encoding, rowCount, columns, len(section), size)
	}
	m := Matrix{Encoding: encoding, Rows: rowCount, Columns: columns}
	codes := m.Panels() * m.PanelBytes()
	m.Codes = section[:codes:codes]
	switch encoding {
	case format.PanelInt8:
		m.RowScales = format.Float32s(section[codes:])
	case format.PanelInt4:
		m.GroupScales = format.Uint16s(section[codes:])
	}
	return m, nil
}

// Panels returns the number of panels, the last one possibly padded.
func (m Matrix) Panels() int { return format.PaddedRows(m.Rows) / rows }

// PaddedColumns returns the number of columns a panel really holds.
func (m Matrix) PaddedColumns() int { return format.PaddedColumns(m.Columns) }

// Groups returns the number of 64-column groups of a row.
func (m Matrix) Groups() int { return m.PaddedColumns() / group }

// PanelBytes returns the length of one panel's codes.
func (m Matrix) PanelBytes() int { return Bytes(m.Encoding, m.PaddedColumns()) }

// Panel returns the codes of panel p.
func (m Matrix) Panel(p int) []byte {
	size := m.PanelBytes()
	return m.Codes[p*size : (p+1)*size : (p+1)*size]
}

// columnsPerLine says how many columns of 16 rows one 64-byte line of a panel holds.
var columnsPerLine = map[format.Encoding]int{
	format.PanelF32:  1,
	format.PanelF16:  2,
	format.PanelInt8: 4,
	format.PanelInt4: 8,
}

// Bytes returns the length of the codes of one panel of that many columns, which are whole groups.
func Bytes(encoding format.Encoding, paddedColumns int) int {
	return paddedColumns / columnsPerLine[encoding] * 64
}

// Row decodes row r into dst, which holds Columns values.
func (m Matrix) Row(r int, dst []float32) {
	if len(dst) != m.Columns {
		panic(fmt.Sprintf("panel: row of %d columns into %d values", m.Columns, len(dst)))
	}
	m.PartOfRow(r, 0, dst)
}

// PartOfRow decodes as many columns of row r as dst holds, from column first on, which begins a group.
func (m Matrix) PartOfRow(r, first int, dst []float32) {
	if r < 0 || r >= m.Rows || first < 0 || first%group != 0 || first+len(dst) > m.Columns {
		panic(fmt.Sprintf("panel: %d columns from %d on of row %d of [%d %d]", len(dst), first, r, m.Rows, m.Columns))
	}
	panel, lane := m.Panel(r / rows)[Bytes(m.Encoding, first):], r%rows
	switch m.Encoding {
	case format.PanelF32:
		values := format.Float32s(panel)
		for k := range dst {
			dst[k] = values[k*rows+lane]
		}
	case format.PanelF16:
		values := format.Uint16s(panel)
		for k := range dst {
			dst[k] = float16.ToFloat32(values[k*rows+lane])
		}
	case format.PanelInt8:
		scale := m.RowScales[r]
		for k := 0; k < len(dst); k += 4 {
			codes := (*[4]byte)(panel[k/4*64+lane*4:])
			for i := range dst[k:min(k+4, len(dst))] {
				dst[k+i] = float32(int(codes[i&3])-Int8Offset) * scale
			}
		}
	case format.PanelInt4:
		scales := m.GroupScales[(r/rows*m.Groups()+first/group)*rows+lane:]
		var scale float32
		for k := 0; k < len(dst); k += 4 {
			if k%group == 0 {
				scale = float16.ToFloat32(scales[k/group*rows])
			}
			codes, shift := (*[4]byte)(panel[k/8*64+lane*4:]), k&4
			for i := range dst[k:min(k+4, len(dst))] {
				dst[k+i] = float32(int(codes[i&3]>>shift&15)-Int4Offset) * scale
			}
		}
	}
}

// Decode returns the whole matrix row by row, [Rows, Columns].
func (m Matrix) Decode() []float32 {
	out := make([]float32, m.Rows*m.Columns)
	for r := range m.Rows {
		m.Row(r, out[r*m.Columns:(r+1)*m.Columns])
	}
	return out
}
