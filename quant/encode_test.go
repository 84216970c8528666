package quant

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/panel"
)

var panelEncodings = []format.Encoding{format.PanelF32, format.PanelF16, format.PanelInt8, format.PanelInt4}

// encode returns the section of a matrix given row by row.
func encode(t testing.TB, encoding format.Encoding, rowCount, columns int, weights []float32) []byte {
	t.Helper()
	e, err := NewEncoder(encoding, rowCount, columns)
	if err != nil {
		t.Fatal(err)
	}
	return encodeWith(t, e, rowCount, columns, weights)
}

func encodeWith(t testing.TB, e *Encoder, rowCount, columns int, weights []float32) []byte {
	t.Helper()
	var section []byte
	padded := format.PaddedColumns(columns)
	for p := range e.Panels() {
		panel := make([]float32, rows*padded)
		for r := p * rows; r < min((p+1)*rows, rowCount); r++ {
			copy(panel[(r-p*rows)*padded:], weights[r*columns:(r+1)*columns])
		}
		codes := make([]byte, e.PanelBytes())
		if err := e.EncodePanel(codes, p, panel); err != nil {
			t.Fatal(err)
		}
		section = append(section, codes...)
	}
	return append(section, e.Scales()...)
}

func randomWeights(n int) []float32 {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	weights := make([]float32, n)
	for i := range weights {
		weights[i] = float32(random.NormFloat64() * 0.05)
	}
	return weights
}

// bound returns the largest error that one weight of an encoding may have: what the search of scales
// may clip of a row's or group's largest weight.
func bound(encoding format.Encoding, weights []float32, columns, i int) float64 {
	w := math.Abs(float64(weights[i]))
	row := weights[i/columns*columns:][:columns]
	switch encoding {
	case format.PanelF16:
		return max(w*0x1p-11, 0x1p-25)
	case format.PanelInt8:
		return math.Abs(float64(largestOf(row))) * 0.025
	case format.PanelInt4:
		start := i % columns / groups * groups
		return math.Abs(float64(largestOf(row[start:min(start+groups, columns)]))) * 0.35
	}
	return 0
}

func TestEncodeDecode(t *testing.T) {
	for _, encoding := range panelEncodings {
		for _, shape := range [][2]int{{1, 1}, {16, 64}, {17, 65}, {40, 200}, {5, 7}, {48, 128}} {
			t.Run(fmt.Sprint(encoding, shape), func(t *testing.T) {
				weights := randomWeights(shape[0] * shape[1])
				weights[0] = 0
				m, err := panel.View(encoding, shape[0], shape[1], encode(t, encoding, shape[0], shape[1], weights))
				if err != nil {
					t.Fatal(err)
				}
				for i, w := range m.Decode() {
					if d := math.Abs(float64(w) - float64(weights[i])); d > bound(encoding, weights, shape[1], i) {
						t.Fatalf("weight %d: %v became %v", i, weights[i], w)
					}
				}
			})
		}
	}
}

// TestPartOfRow compares parts, up to the end of a row and not, with whole rows.
func TestPartOfRow(t *testing.T) {
	const rowCount, columns = 19, 200
	for _, encoding := range panelEncodings {
		m, err := panel.View(encoding, rowCount, columns, encode(t, encoding, rowCount, columns, randomWeights(rowCount*columns)))
		if err != nil {
			t.Fatal(err)
		}
		for r := range rowCount {
			row := make([]float32, columns)
			m.Row(r, row)
			for _, part := range [][2]int{{0, 0}, {0, 1}, {0, 64}, {64, 128}, {64, 71}, {128, 200}, {192, 200}, {192, 192}} {
				got := make([]float32, part[1]-part[0])
				m.PartOfRow(r, part[0], got)
				if want := row[part[0]:part[1]]; !slices.Equal(got, want) {
					t.Fatalf("%v: row %d, columns %v: %v, want %v", encoding, r, part, got, want)
				}
			}
		}
	}
}

// TestLayout pins single weights to the bytes FORMAT.md gives them.
func TestLayout(t *testing.T) {
	const rowCount, columns, row, column = 33, 130, 21, 71
	weights := make([]float32, rowCount*columns)
	weights[row*columns+column] = 1
	const place, lane, padded = row / 16, row % 16, 192
	offsets := map[format.Encoding]int{
		format.PanelF32:  place*padded*64 + column*64 + lane*4,
		format.PanelF16:  place*padded*32 + column/2*64 + column%2*32 + lane*2,
		format.PanelInt8: place*padded*16 + column/4*64 + lane*4 + column%4,
		format.PanelInt4: place*padded*8 + column/8*64 + lane*4 + column%4,
	}
	values := map[format.Encoding][2]byte{ // the byte with the weight, a byte with none
		format.PanelF32:  {0x00, 0}, // 1.0 is 00 00 80 3f
		format.PanelF16:  {0x00, 0}, // 00 3c
		format.PanelInt8: {255, 128},
		format.PanelInt4: {0xf8, 0x88}, // column 71 is the eighth of its line: a high nibble
	}
	for _, encoding := range panelEncodings {
		section := encode(t, encoding, rowCount, columns, weights)
		m, err := panel.View(encoding, rowCount, columns, section)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range m.Codes {
			offset, want := offsets[encoding], values[encoding][1]
			switch {
			case encoding == format.PanelF32 && i == offset+2:
				want = 0x80
			case encoding == format.PanelF32 && i == offset+3:
				want = 0x3f
			case encoding == format.PanelF16 && i == offset+1:
				want = 0x3c
			case i == offset:
				want = values[encoding][0]
			}
			if b != want {
				t.Fatalf("%v: byte %d is %#x, want %#x", encoding, i, b, want)
			}
		}
		switch encoding {
		case format.PanelInt8:
			if len(m.RowScales) != 48 || m.RowScales[row] != float32(1)/127 {
				t.Errorf("row scales %v", m.RowScales)
			}
		case format.PanelInt4:
			if at := (place*3+column/64)*16 + lane; len(m.GroupScales) != 3*3*16 || m.GroupScales[at] != float16.FromFloat32(float32(1)/7) {
				t.Errorf("group scale %d is %#x of %d", at, m.GroupScales[at], len(m.GroupScales))
			}
		}
	}
}

func TestEncodeRefusesValues(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		encoding format.Encoding
		value    float32
		refused  bool
	}{
		{format.PanelF32, float32(math.NaN()), true}, {format.PanelF32, -inf, true}, {format.PanelF32, math.MaxFloat32, false},
		{format.PanelF16, 65519, false}, {format.PanelF16, 65520, true}, {format.PanelF16, -1e6, true}, {format.PanelF16, float32(math.NaN()), true},
		{format.PanelInt8, inf, true}, {format.PanelInt8, -math.MaxFloat32, false},
		{format.PanelInt4, 458000, false}, {format.PanelInt4, 459000, true}, {format.PanelInt4, float32(math.NaN()), true},
	} {
		e, err := NewEncoder(c.encoding, 20, 70)
		if err != nil {
			t.Fatal(err)
		}
		panel := make([]float32, 16*128)
		panel[3*128+69] = c.value
		err = e.EncodePanel(make([]byte, e.PanelBytes()), 1, panel)
		var refused *ValueError
		if errors.As(err, &refused) != c.refused {
			t.Errorf("%v in %v: %v", c.value, c.encoding, err)
		}
		if refused != nil && (refused.Row != 19 || refused.Column != 69) {
			t.Errorf("%v: want row 19, column 69", err)
		}
	}
}

func TestViewRefusesSizes(t *testing.T) {
	for _, c := range []struct {
		encoding      format.Encoding
		rows, columns int
		length        int
	}{
		{format.PanelInt8, 16, 64, 16*64 + 63}, {format.PanelInt8, 16, 64, 16*64 + 65}, {format.Float32, 16, 64, 4096},
		{format.PanelF32, 0, 64, 0}, {format.PanelF32, -1, 64, 0}, {format.PanelInt4, 1 << 40, 1 << 40, 0}, {format.Encoding(99), 1, 1, 0},
	} {
		if _, err := panel.View(c.encoding, c.rows, c.columns, make([]byte, c.length)); err == nil {
			t.Errorf("%v [%d %d] in %d bytes was accepted", c.encoding, c.rows, c.columns, c.length)
		}
	}
}

func TestErrors(t *testing.T) {
	original, decoded := []float32{1, -2, 0, 4}, []float32{1.5, -2, 0.5, 3}
	var e, first, second Errors
	e.Add(original, decoded)
	if got := e.Relative(); got != 2.0/7 {
		t.Errorf("relative %v, want %v", got, 2.0/7)
	}
	if got, want := e.RMSE(), math.Sqrt(1.5/4); got != want || e.Max != 1 {
		t.Errorf("RMSE %v, want %v; max %v, want 1", got, want, e.Max)
	}
	if got, want := e.SQNR(), 10*math.Log10(21/1.5); got != want {
		t.Errorf("SQNR %v, want %v", got, want)
	}
	first.Add(original[:1], decoded[:1])
	second.Add(original[1:], decoded[1:])
	if first.Merge(second); first != e {
		t.Errorf("merged %+v, want %+v", first, e)
	}
	if empty := (Errors{}); empty.Relative() != 0 || empty.RMSE() != 0 {
		t.Error("the measure of nothing is not 0")
	}
}

func BenchmarkEncode(b *testing.B) {
	const columns = 3072
	weights := randomWeights(16 * columns)
	for _, encoding := range panelEncodings {
		b.Run(encoding.String(), func(b *testing.B) {
			e, err := NewEncoder(encoding, 16, columns)
			if err != nil {
				b.Fatal(err)
			}
			codes := make([]byte, e.PanelBytes())
			b.SetBytes(int64(len(weights)))
			for b.Loop() {
				if err := e.EncodePanel(codes, 0, weights); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
