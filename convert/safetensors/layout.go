// Package safetensors lays out files in HuggingFace's format of this name: their header, and numbers
// in their types. It is for writers that never have all weights in memory; the library that reads
// these files writes only such as are.
//
// Start reading at NewLayout.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
)

// Tensor is a tensor to be written, row-major.
type Tensor struct {
	Name  string
	Shape []int
}

// Values returns how many numbers the tensor has.
func (t Tensor) Values() int {
	n := 1
	for _, dimension := range t.Shape {
		n *= dimension
	}
	return n
}

// Layout is where everything in a file lies.
type Layout struct {
	Header  []byte  // what the file begins with
	Offsets []int64 // of each tensor, from the start of the file
	Size    int64   // of the file
}

// alignment is what the header is filled up to with spaces, so that every tensor is aligned; the
// format's own library does the same.
const alignment = 8

// NewLayout puts tensors of one type one after the other. The header's length precedes it.
func NewLayout(t Type, tensors []Tensor) (Layout, error) {
	type entry struct {
		Type    Type     `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}} // without which transformers refuses the file
	var l Layout
	end := int64(0)
	for _, tensor := range tensors {
		first := end
		end += int64(tensor.Values()) * int64(t.Size())
		header[tensor.Name] = entry{t, tensor.Shape, [2]int64{first, end}}
		l.Offsets = append(l.Offsets, first)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return l, err
	}
	text = append(text, bytes.Repeat([]byte{' '}, -len(text)&(alignment-1))...)
	l.Header = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	for i := range l.Offsets {
		l.Offsets[i] += int64(len(l.Header))
	}
	l.Size = int64(len(l.Header)) + end
	return l, nil
}
