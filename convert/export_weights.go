package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/tti-llm/tti/convert/safetensors"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/progress"
)

// exportedTensor is a tensor section, or a part of one, and the weight that it holds.
type exportedTensor struct {
	architecture.Tensor
	section    format.Section
	first      int // row of the section that the part begins with
	rows       int
	transposed bool
}

// weights writes model.safetensors.
func (e *exporter) weights(ctx context.Context, h architecture.Hyperparameters, model exported) error {
	var tensors []exportedTensor
	var targets []safetensors.Tensor
	for t := range h.Tensors() {
		s, err := sectionOf(e.file, t)
		if err != nil {
			return err
		}
		place, first := model.place(t), 0
		for _, part := range place.Parts {
			tensors = append(tensors, exportedTensor{t, s, first, part.Rows, place.Transposed})
			targets = append(targets, safetensors.Tensor{Name: part.Name, Shape: place.Shape(t, part)})
			first += part.Rows
		}
	}
	layout, err := safetensors.NewLayout(dtypes[e.options.DType].Type, targets)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(e.directory, weightsFile))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(layout.Size); err != nil {
		return err
	}
	if _, err := file.WriteAt(layout.Header, 0); err != nil {
		return err
	}
	meter := progress.NewMeter(layout.Size-int64(len(layout.Header)), e.options.Progress)

	err = parallel.Each(ctx, e.options.Workers, len(tensors), func(ctx context.Context, i int) error {
		out := &tensorWriter{ctx, io.NewOffsetWriter(file, layout.Offsets[i]), meter}
		if err := e.decode(tensors[i], out); err != nil {
			return fmt.Errorf("tensor %s: %w", tensors[i].Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// sectionOf returns the section of a tensor, which must be what the architecture says.
func sectionOf(file *format.File, t architecture.Tensor) (format.Section, error) {
	s, ok := file.Section(t.Name)
	switch {
	case !ok:
		return s, fmt.Errorf("%w: tensor %s is missing", format.ErrCorrupt, t.Name)
	case !slices.Equal(s.Shape, t.Shape) || s.Kind != format.KindTensor || s.Encoding.IsPanel() != t.IsMatrix():
		return s, fmt.Errorf("%w: tensor %s is %v of shape %v, want shape %v", format.ErrCorrupt, t.Name, s.Encoding, s.Shape, t.Shape)
	}
	return s, nil
}

// tensorWriter writes a tensor to its place. It ends when its context does.
type tensorWriter struct {
	ctx   context.Context
	out   io.Writer
	meter *progress.Meter
}

func (w *tensorWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.out.Write(p)
	w.meter.Add(n)
	return n, err
}

// decode writes the values of a tensor in the order of the source. It goes by a copy: what it writes is what the checksum
// is of, whatever becomes of the file.
func (e *exporter) decode(t exportedTensor, out io.Writer) error {
	section, err := e.file.Copy(t.section)
	if err != nil {
		return err
	}
	if !t.IsMatrix() {
		length := len(section) / 4 / t.Shape[0]
		values := format.Float32s(section)[t.first*length : (t.first+t.rows)*length]
		return e.put(out, values, func(i int) []int { return tensor{shape: t.Shape}.index(t.first*length + i) })
	}
	m, err := panel.View(t.section.Encoding, t.Shape[0], t.Shape[1], section)
	if err != nil {
		return err
	}
	if t.transposed {
		return e.put(out, turned(m), func(i int) []int { return []int{i / m.Rows, i % m.Rows} })
	}
	chunk := max(1, chunkBytes/4/m.Columns)
	values := make([]float32, chunk*m.Columns)
	for first := 0; first < t.rows; first += chunk {
		count := min(chunk, t.rows-first)
		for r := range count {
			m.Row(t.first+first+r, values[r*m.Columns:(r+1)*m.Columns])
		}
		err := e.put(out, values[:count*m.Columns], func(i int) []int { return []int{t.first + first + i/m.Columns, i % m.Columns} })
		if err != nil {
			return err
		}
	}
	return nil
}

// turned returns the values of a matrix as [columns, rows].
func turned(m panel.Matrix) []float32 {
	values := make([]float32, m.Rows*m.Columns)
	panel := make([]float32, format.PanelRows*m.Columns)
	for first := 0; first < m.Rows; first += format.PanelRows {
		count := min(format.PanelRows, m.Rows-first)
		for r := range count {
			m.Row(first+r, panel[r*m.Columns:(r+1)*m.Columns])
		}
		for k := range m.Columns {
			line := values[k*m.Rows+first:][:count]
			for r := range line {
				line[r] = panel[r*m.Columns+k]
			}
		}
	}
	return values
}

// put writes values. index says where in the tensor one of them is, for an error.
func (e *exporter) put(out io.Writer, values []float32, index func(i int) []int) error {
	dtype := dtypes[e.options.DType]
	size := dtype.Size()
	buffer := make([]byte, min(len(values)*size, chunkBytes))
	for first := 0; first < len(values); {
		part := values[first:min(len(values), first+len(buffer)/size)]
		if n := dtype.Encode(buffer, part); n < len(part) {
			return fmt.Errorf("value %v at %v is too large for %s", part[n], index(first+n), e.options.DType)
		}
		if _, err := out.Write(buffer[:len(part)*size]); err != nil {
			return err
		}
		first += len(part)
	}
	return nil
}
