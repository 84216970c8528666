package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/quant"
)

// chunkBytes is how much float32 one worker has in flight, as far as whole panels allow. A chunk of
// several panels is what makes a transposition read whole cache lines.
const chunkBytes = 1 << 20

// encode writes the section of a weight: its values in the given encoding.
func (w weight) encode(ctx context.Context, encoding format.Encoding, out io.Writer) error {
	var err error
	if encoding == format.Float32 {
		err = w.encodeVector(ctx, out)
	} else {
		err = w.encodeMatrix(ctx, encoding, out)
	}
	if err != nil {
		return fmt.Errorf("tensor %s: %w", w.source.name, err)
	}
	return nil
}

func (w weight) encodeVector(ctx context.Context, out io.Writer) error {
	total := 1
	for _, n := range w.Shape {
		total *= n
	}
	values := make([]float32, min(total, chunkBytes/4))
	bytes := make([]byte, 4*len(values))
	for first := 0; first < total; first += len(values) {
		if err := ctx.Err(); err != nil {
			return err
		}
		values = values[:min(len(values), total-first)]
		w.source.values(values, first)
		for i, x := range values {
			if !(math.Abs(float64(x)) <= math.MaxFloat32) {
				return fmt.Errorf("value %v at %v is not finite", x, w.source.index(first+i))
			}
			binary.LittleEndian.PutUint32(bytes[4*i:], math.Float32bits(x))
		}
		if _, err := out.Write(bytes[:4*len(values)]); err != nil {
			return err
		}
	}
	return nil
}

func (w weight) encodeMatrix(ctx context.Context, encoding format.Encoding, out io.Writer) error {
	encoder, err := quant.NewEncoder(encoding, w.Shape[0], w.Shape[1])
	if err != nil {
		return err
	}
	if w.importance != nil && encoding == format.PanelInt4 {
		encoder.Weigh(w.importance())
	}
	panel := format.PanelRows * format.PaddedColumns(w.Shape[1])
	chunk := min(max(1, chunkBytes/4/panel), encoder.Panels())
	values := make([]float32, chunk*panel)
	codes := make([]byte, chunk*encoder.PanelBytes())
	for first := 0; first < encoder.Panels(); first += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := min(chunk, encoder.Panels()-first)
		w.panels(values[:chunk*panel], first)
		for i := range chunk {
			err := encoder.EncodePanel(codes[i*encoder.PanelBytes():][:encoder.PanelBytes()], first+i, values[i*panel:(i+1)*panel])
			if err != nil {
				return w.atSource(err)
			}
		}
		if _, err := out.Write(codes[:chunk*encoder.PanelBytes()]); err != nil {
			return err
		}
	}
	_, err = out.Write(encoder.Scales())
	return err
}

// atSource words an error about a value of the target matrix with the value's index in the source.
func (w weight) atSource(err error) error {
	var e *quant.ValueError
	if !errors.As(err, &e) {
		return err
	}
	index := []int{e.Row, e.Column}
	if w.place.Transposed {
		index = []int{e.Column, e.Row}
	}
	if math.IsNaN(float64(e.Value)) || math.IsInf(float64(e.Value), 0) {
		return fmt.Errorf("value %v at %v is not finite", e.Value, index)
	}
	return fmt.Errorf("value %v at %v is too large for %v", e.Value, index, e.Encoding)
}

// index returns the index, dimension by dimension, of a value's position in memory.
func (t tensor) index(position int) []int {
	index := make([]int, len(t.shape))
	for i := len(t.shape) - 1; i >= 0; i-- {
		index[i] = position % t.shape[i]
		position /= t.shape[i]
	}
	return index
}
