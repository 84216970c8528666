package runtime

import (
	"encoding/json"
	"fmt"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

// Shape is what the world outside an architecture must know of a model.
type Shape struct {
	Vocabulary int // tokens with a logit
	Context    int // positions
	Embedding  int // width of the residual stream
	Layers     int
	Heads      int // attention heads of a layer
	HeadWidth  int // dimensions of a head
	Hidden     int // width of the feed-forward block

	EndOfText int32 // the token that ends a text, -1 if there is none
	Beginning int32 // the token to begin a text with where there is no prompt, -1 if there is none
}

// architecture is one family of models: how its tensors are named and what its forward pass does.
type architecture interface {
	shape() Shape
	// matrices names the tensors that the pass of one token reads from one end to the other: all
	// matrices but those it looks up rows in.
	matrices() []string
	// forward runs the tokens of the pass. Every thread of the pool calls it at once.
	forward(w *pool.Worker, p *pass)
}

// architectures holds what Open can run, by the name in the file's meta section.
var architectures = map[string]func(*format.File, json.RawMessage) (architecture, error){
	"gpt2": openGPT2,
}

// tensors finds the sections of a model by name; the first failure sticks.
type tensors struct {
	file *format.File
	err  error
}

func (t *tensors) section(name string, fits func(format.Encoding) bool, shape ...int) []byte {
	if t.err != nil {
		return nil
	}
	s, ok := t.file.Section(name)
	switch {
	case !ok || s.Kind != format.KindTensor:
		t.err = fmt.Errorf("tensor %s is missing", name)
	case !fits(s.Encoding):
		t.err = fmt.Errorf("tensor %s: encoding %v does not fit its use", name, s.Encoding)
	case fmt.Sprint(s.Shape) != fmt.Sprint(shape):
		t.err = fmt.Errorf("tensor %s: shape %v, want %v", name, s.Shape, shape)
	default:
		return t.file.Bytes(s)
	}
	return nil
}

// values returns a plain float32 tensor in place.
func (t *tensors) values(name string, shape ...int) []float32 {
	return format.Float32s(t.section(name, func(e format.Encoding) bool { return e == format.Float32 }, shape...))
}

// matrix returns a weight matrix [rows, columns] in place, in whatever panels it is kept.
func (t *tensors) matrix(name string, rows, columns int) panel.Matrix {
	var encoding format.Encoding
	section := t.section(name, func(e format.Encoding) bool { encoding = e; return e.IsPanel() }, rows, columns)
	if t.err != nil {
		return panel.Matrix{}
	}
	m, err := panel.View(encoding, rows, columns, section)
	if err != nil {
		t.err = fmt.Errorf("tensor %s: %w", name, err)
	}
	return m
}

// linear is a matrix and the bias that is added to its products, padded to whole panels.
type linear struct {
	weights panel.Matrix
	bias    []float32
}

// linear returns the matrix name.weight with the bias name.bias, which is used in place unless the
// last panel is padded.
func (t *tensors) linear(name string, rows, columns int) linear {
	return linear{weights: t.matrix(name+".weight", rows, columns), bias: padded(t.values(name+".bias", rows))}
}

func padded(values []float32) []float32 {
	if length := format.PaddedRows(len(values)); length != len(values) {
		return append(values, make([]float32, length-len(values))...)
	}
	return values
}

// norm holds the parameters of a layer norm.
type norm struct {
	weight, bias []float32
	epsilon      float32
}

func (t *tensors) norm(name string, width int, epsilon float32) norm {
	return norm{weight: t.values(name+".weight", width), bias: t.values(name+".bias", width), epsilon: epsilon}
}

// rows returns the row length of a product with this matrix: outputs, padded to whole panels.
func (l *linear) rows() int { return format.PaddedRows(l.weights.Rows) }

// integer reports whether products with this matrix take quantized activations.
func (l *linear) integer() bool {
	return l.weights.Encoding == format.PanelInt8 || l.weights.Encoding == format.PanelInt4
}

var activations = map[string]kernels.Activation{
	"gelu_new": kernels.GELUTanh,
	"gelu":     kernels.GELU,
	"relu":     kernels.ReLU,
}
