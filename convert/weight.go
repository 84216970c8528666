package convert

import (
	"errors"
	"fmt"
	"math"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/quant"
)

// weight is one tensor of the target and where it comes from: parts of the source, what the converter has computed, or a matrix of another .tti
// file.
type weight struct {
	architecture.Tensor
	place    huggingface.Place // in the source
	sources  []tensor          // of each part
	computed []float32         // where there are no parts
	packed   *panel.Matrix     // where there are none either
	// importance returns a factor for the squared errors of each column, nil for none.
	importance func() []float32
}

// section returns the section of the weight under a mode.
func (w weight) section(mode string) format.Section {
	return format.Section{Name: w.Name, Kind: format.KindTensor, Encoding: encodings[mode][kindOf(w.Tensor)], Shape: w.Shape}
}

// length returns the number of values.
func (w weight) length() int { return w.rowLength() * w.Shape[0] }

// rowLength returns the number of values for each element of the first dimension.
func (w weight) rowLength() int {
	n := 1
	for _, dimension := range w.Shape[1:] {
		n *= dimension
	}
	return n
}

// origin returns the source of a row, and the row's number there.
func (w weight) origin(row int) (source tensor, inside int) {
	for i, part := range w.place.Parts {
		if row < part.Rows {
			return w.sources[i], row
		}
		row -= part.Rows
	}
	return tensor{name: w.Name}, row
}

// values decodes consecutive values, beginning with the given one, of a weight that is not transposed.
func (w weight) values(dst []float32, first int) {
	if w.computed != nil {
		copy(dst, w.computed[first:])
		return
	}
	length := w.rowLength()
	for i, part := range w.place.Parts {
		size := part.Rows * length
		if count := min(len(dst), size-first); count > 0 {
			w.sources[i].values(dst[:count], first)
			dst = dst[count:]
		}
		first = max(0, first-size)
	}
}

// rows decodes count rows of the matrix, from number row on. In dst they follow one another in the given stride; what
// lies between them is zero.
func (w weight) rows(dst []float32, row, count, stride int) {
	rows, columns := w.Shape[0], w.Shape[1]
	switch {
	case w.packed != nil:
		for r := range count {
			w.packed.Row(row+r, dst[r*stride:][:columns])
		}
	case w.place.Transposed:
		w.sources[0].transpose(dst, row, count, rows, columns, stride)
	default:
		for r := range count {
			source, inside := w.origin(row + r)
			source.values(dst[r*stride:][:columns], inside*columns)
		}
	}
	for r := range count {
		clear(dst[r*stride+columns : (r+1)*stride])
	}
}

// about names the source tensor that an error is about, and gives the index that a bad value has there.
func (w weight) about(err error) error {
	source, _ := w.origin(0)
	var e *quant.ValueError
	if errors.As(err, &e) {
		var row int
		source, row = w.origin(e.Row)
		index := []int{row, e.Column}[:len(w.Shape)]
		if w.place.Transposed {
			index = []int{e.Column, e.Row}
		}
		if math.IsNaN(float64(e.Value)) || math.IsInf(float64(e.Value), 0) {
			err = fmt.Errorf("value %v at %v is not finite", e.Value, index)
		} else {
			err = fmt.Errorf("value %v at %v is too large for %v", e.Value, index, e.Encoding)
		}
	}
	return fmt.Errorf("tensor %s: %w", source.name, err)
}
