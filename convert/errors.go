package convert

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/quant"
)

// ShapeErrors compares all matrices of a file that have one shape and encoding with their source.
type ShapeErrors struct {
	Shape    [2]int // [out, in]
	Encoding format.Encoding
	Matrices int
	quant.Errors
}

// MeasureErrors compares the weight matrices of a file with those of its source, by shape and
// encoding in the order of the file. It fails if the source has other tensors, or has a weight file
// of the same name as one that the file was made from, and with another SHA-256.
func MeasureErrors(ctx context.Context, file *format.File, source Source) ([]ShapeErrors, error) {
	meta, err := file.Meta()
	if err != nil {
		return nil, err
	}
	m, err := openModel(source.Directory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source.Name, err)
	}
	defer m.close()
	if err := m.checkWeights(ctx, meta); err != nil {
		return nil, fmt.Errorf("%s: %w", source.Name, err)
	}
	var p plan
	if err := format.GuardFault(func() (err error) {
		p, err = m.plan()
		return err
	}); err != nil {
		return nil, fmt.Errorf("%s: %w", source.Name, err)
	}
	matrices := slices.DeleteFunc(p.weights, func(w weight) bool { return !w.IsMatrix() })
	measured := make([]ShapeErrors, len(matrices))
	err = parallel.Each(ctx, 0, len(matrices), func(ctx context.Context, i int) error {
		err := format.GuardFault(func() (err error) {
			measured[i], err = matrices[i].errors(ctx, file)
			return err
		})
		if err != nil {
			return fmt.Errorf("tensor %s: %w", matrices[i].Name, err)
		}
		return nil
	})
	if err != nil {
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

// checkWeights compares the weight files with those that a file of this meta was made from. Files of other names may hold the
// same tensors: a model may have been divided anew.
func (m *model) checkWeights(ctx context.Context, meta format.Meta) error {
	digests, err := m.digests(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		want, known := meta.Sources[name]
		if got := digests[name]; known && got != want && filepath.Ext(name) == ".safetensors" {
			return fmt.Errorf("%s: SHA-256 %s, want %s: the file was made from another model", name, got, want)
		}
	}
	return nil
}

// errors compares a matrix in a file with its source.
func (w weight) errors(ctx context.Context, file *format.File) (ShapeErrors, error) {
	s, ok := file.Section(w.Name)
	if !ok || !slices.Equal(s.Shape, w.Shape) || !s.Encoding.IsPanel() {
		return ShapeErrors{}, fmt.Errorf("the file has none of shape %v: it was made from another model", w.Shape)
	}
	m, err := panel.View(s.Encoding, w.Shape[0], w.Shape[1], file.Bytes(s))
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
