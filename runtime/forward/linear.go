package forward

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
)

// Linear is a weight matrix and what is added to its products.
type Linear struct {
	Weights panel.Matrix
	Bias    []float32 // for each padded row; zeros where the model has none
}

func (l *Linear) load(t architecture.Tensor, source Source) (err error) {
	if !t.Bias {
		l.Weights, err = source.Matrix(t)
		return err
	}
	bias, err := source.Vector(t)
	l.SetBias(bias)
	return err
}

// SetBias sets the bias, a value for each row. It is used in place unless the last panel is padded.
func (l *Linear) SetBias(bias []float32) {
	if padding := format.PaddedRows(len(bias)) - len(bias); padding > 0 {
		bias = append(bias[:len(bias):len(bias)], make([]float32, padding)...)
	}
	l.Bias = bias
}

// complete adds a bias of zeros where there is none.
func (l *Linear) complete() {
	if l.Bias == nil {
		l.Bias = make([]float32, l.rows())
	}
}

// rows returns the row length of a product: outputs, padded to whole panels.
func (l *Linear) rows() int { return format.PaddedRows(l.Weights.Rows) }

// integer reports whether products with this matrix take quantized activations.
func (l *Linear) integer() bool {
	return l.Weights.Encoding == format.PanelInt8 || l.Weights.Encoding == format.PanelInt4
}
