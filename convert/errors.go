package convert

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/quant"
)

// ShapeErrors compares all matrices of a file that have one shape and encoding with their source.
type ShapeErrors struct {
	Shape    [2]int // [out, in]
	Encoding format.Encoding
	Matrices int
	quant.Errors
}

// MeasureErrors compares the weight matrices of a file with those in a model directory, by shape and
// encoding in the order of the file. It fails if the directory's model has other tensors.
func MeasureErrors(ctx context.Context, file *format.File, directory string) ([]ShapeErrors, error) {
	m, err := openModel(directory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", directory, err)
	}
	defer m.close()
	var p plan
	if err := format.GuardFault(func() (err error) {
		p, err = m.plan()
		return err
	}); err != nil {
		return nil, fmt.Errorf("%s: %w", directory, err)
	}
	matrices := slices.DeleteFunc(p.weights, func(w weight) bool { return w.role == vector })
	measured := make([]ShapeErrors, len(matrices))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, w := range matrices {
		group.Go(func() error {
			err := format.GuardFault(func() (err error) {
				measured[i], err = w.errors(ctx, file)
				return err
			})
			if err != nil {
				return fmt.Errorf("tensor %s: %w", w.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var shapes []ShapeErrors
	for _, one := range measured {
		i := slices.IndexFunc(shapes, func(s ShapeErrors) bool { return s.Shape == one.Shape && s.Encoding == one.Encoding })
		if i < 0 {
			shapes = append(shapes, one)
			continue
		}
		shapes[i].Matrices++
		shapes[i].Merge(one.Errors)
	}
	return shapes, nil
}

// errors compares a matrix in a file with its source.
func (w weight) errors(ctx context.Context, file *format.File) (ShapeErrors, error) {
	s, ok := file.Section(w.name)
	if !ok || !slices.Equal(s.Shape, w.shape) || !s.Encoding.IsPanel() {
		return ShapeErrors{}, fmt.Errorf("the file has none of shape %v: it was made from another model", w.shape)
	}
	m, err := quant.View(s.Encoding, w.shape[0], w.shape[1], file.Bytes(s))
	if err != nil {
		return ShapeErrors{}, err
	}
	result := ShapeErrors{Shape: [2]int{m.Rows, m.Columns}, Encoding: s.Encoding, Matrices: 1}
	padded := m.PaddedColumns()
	source, row := make([]float32, format.PanelRows*padded), make([]float32, m.Columns)
	for p := range m.Panels() {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		w.panels(source, p)
		for r := range min(format.PanelRows, m.Rows-p*format.PanelRows) {
			m.Row(p*format.PanelRows+r, row)
			result.Add(source[r*padded:][:m.Columns], row)
		}
	}
	return result, nil
}
