package convert

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/float16"
)

// Every panel of every shape, read one value at a time as the definition says.
func TestPanelsAgainstBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, dtype := range []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16} {
		for _, shape := range [][]int{{1, 1}, {15, 63}, {16, 64}, {17, 65}, {3, 130}, {100, 7}, {48, 200}, {130, 31}} {
			rows, columns := shape[0], shape[1]
			source := tensor{dtype: dtype, data: make([]byte, 3+rows*columns*int(dtype.Size()))[3:]} // misaligned
			for i := range source.data {
				source.data[i] = byte(random.Uint32())
			}
			for _, transposed := range []bool{false, true} {
				w := weight{Tensor: architecture.Tensor{Shape: shape}, place: huggingface.Place{Parts: []huggingface.Part{{Rows: rows}}, Transposed: transposed}, sources: []tensor{source}}
				padded := format.PaddedColumns(columns)
				panels := format.PaddedRows(rows) / format.PanelRows
				for first := range panels {
					for count := 1; count <= panels-first; count++ {
						got := slices.Repeat([]float32{7}, count*format.PanelRows*padded)
						w.panels(got, first)
						for i, x := range got {
							r, c := first*format.PanelRows+i/padded, i%padded
							want := float32(0)
							if r < rows && c < columns {
								at := r*columns + c
								if transposed {
									at = c*rows + r
								}
								want = value(source, at)
							}
							if math.Float32bits(x) != math.Float32bits(want) {
								t.Fatalf("%v %v transposed %v: value [%d %d] is %v, want %v", dtype, shape, transposed, r, c, x, want)
							}
						}
					}
				}
			}
		}
	}
}

// value reads one value of a tensor.
func value(t tensor, at int) float32 {
	switch t.dtype {
	case safetensors.F32:
		return math.Float32frombits(binary.LittleEndian.Uint32(t.data[4*at:]))
	case safetensors.BF16:
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.data[2*at:])) << 16)
	}
	return float16.ToFloat32(binary.LittleEndian.Uint16(t.data[2*at:]))
}
