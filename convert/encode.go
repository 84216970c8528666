package convert

import (
	"context"
	"encoding/binary"
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
		return w.about(err)
	}
	return nil
}

func (w weight) encodeVector(ctx context.Context, out io.Writer) error {
	total, columns := w.length(), w.rowLength()
	values := make([]float32, min(total, chunkBytes/4))
	bytes := make([]byte, 4*len(values))
	for first := 0; first < total; first += len(values) {
		if err := ctx.Err(); err != nil {
			return err
		}
		values = values[:min(len(values), total-first)]
		w.values(values, first)
		for i, x := range values {
			if !(math.Abs(float64(x)) <= math.MaxFloat32) {
				return &quant.ValueError{Row: (first + i) / columns, Column: (first + i) % columns, Value: x, Encoding: format.Float32}
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
				return err
			}
		}
		if _, err := out.Write(codes[:chunk*encoder.PanelBytes()]); err != nil {
			return err
		}
	}
	_, err = out.Write(encoder.Scales())
	return err
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
