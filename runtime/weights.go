package runtime

import (
	"fmt"
	"slices"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
)

// fileWeights are the weights of a file: matrices where they are mapped, everything else as copies, which do not change
// when the file does.
type fileWeights struct{ *format.File }

// Matrix implements forward.Source.
func (f fileWeights) Matrix(t architecture.Tensor) (panel.Matrix, error) {
	s, err := f.section(t)
	if err != nil {
		return panel.Matrix{}, err
	}
	if !s.Encoding.IsPanel() {
		return panel.Matrix{}, fmt.Errorf("encoding %v does not fit its use", s.Encoding)
	}
	return panel.View(s.Encoding, t.Shape[0], t.Shape[1], f.Bytes(s))
}

// Vector implements forward.Source.
func (f fileWeights) Vector(t architecture.Tensor) (values []float32, err error) {
	s, err := f.section(t)
	if err != nil {
		return nil, err
	}
	if s.Encoding != format.Float32 {
		return nil, fmt.Errorf("encoding %v does not fit its use", s.Encoding)
	}
	err = format.GuardFault(func() error {
		values = slices.Clone(format.Float32s(f.Bytes(s)))
		return nil
	})
	return values, err
}

func (f fileWeights) section(t architecture.Tensor) (format.Section, error) {
	s, ok := f.Section(t.Name)
	switch {
	case !ok || s.Kind != format.KindTensor:
		return s, fmt.Errorf("missing")
	case !slices.Equal(s.Shape, t.Shape):
		return s, fmt.Errorf("shape %v, want %v", s.Shape, t.Shape)
	}
	return s, nil
}
