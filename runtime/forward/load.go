package forward

import (
	"fmt"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
)

// Source is where the weights of a network come from.
type Source interface {
	// Matrix returns a weight matrix of the tensor's shape.
	Matrix(t architecture.Tensor) (panel.Matrix, error)
	// Vector returns the values of a tensor that is no matrix.
	Vector(t architecture.Tensor) ([]float32, error)
}

// New returns a network for the hyper-parameters, which must be valid, and for sequences of up to context positions, which
// the model must have; 0: as many as it is for when nobody asks for more. It has no weights and no layers.
func New(h architecture.Hyperparameters, context int) (*Network, error) {
	if context == 0 {
		context, _ = h.Contexts()
	}
	switch h := h.(type) {
	case *architecture.GPT2:
		return newGPT2(h, context), nil
	case *architecture.Decoder:
		return newDecoder(h, context), nil
	}
	return nil, fmt.Errorf("%w: no forward pass for %T", format.ErrUnsupported, h)
}

// Load returns a network with its weights, see New. Errors name the tensor.
func Load(h architecture.Hyperparameters, context int, source Source) (*Network, error) {
	n, err := New(h, context)
	if err != nil {
		return nil, err
	}
	for t := range h.Tensors() {
		if t.Layer == len(n.Layers) { // they come in order
			n.Layers = append(n.Layers, n.newLayer(t.Layer))
		}
		if err := n.load(t, source); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	if h.Tied() {
		n.Head.Weights = n.TokenEmbedding
	}
	n.Head.complete()
	for i := range n.Layers {
		n.Layers[i].complete()
	}
	n.Layers[len(n.Layers)-1].Attention.mix.(*attention).last = true
	return n, nil
}

// LoadOuter reads the weights that belong to no layer, of a network whose layers are driven one by one.
func (n *Network) LoadOuter(h architecture.Hyperparameters, source Source) error {
	for t := range h.Tensors() {
		if t.Layer >= 0 {
			continue
		}
		if err := n.load(t, source); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	return nil
}

// LoadLayer returns one layer with its weights, to be driven alone: it keeps its keys and values as the only layer of
// its cache, and takes all rows to its end. Errors name the tensor.
func LoadLayer(h architecture.Hyperparameters, i int, source Source) (*Layer, error) {
	n, err := New(h, 0)
	if err != nil {
		return nil, err
	}
	l := n.newLayer(i)
	for t := range h.Tensors() {
		if t.Layer != i {
			continue
		}
		if err := l.load(t, source); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	l.complete()
	l.Attention.mix.(*attention).layer = 0
	return &l, nil
}

// load reads one tensor.
func (n *Network) load(t architecture.Tensor, source Source) (err error) {
	switch t.Role {
	case architecture.TokenEmbedding:
		n.TokenEmbedding, err = source.Matrix(t)
	case architecture.PositionEmbedding:
		n.Positions, err = source.Vector(t)
	case architecture.FinalNorm:
		err = n.FinalNorm.load(t, source)
	case architecture.Head:
		err = n.Head.load(t, source)
	case architecture.Frequencies:
		err = n.loadFrequencies(t, source, false)
	case architecture.LongFrequencies:
		err = n.loadFrequencies(t, source, true)
	default:
		err = n.Layers[t.Layer].load(t, source)
	}
	return err
}

// loadFrequencies reads the frequencies of the rotary embedding of a number, if these are the ones in use.
func (n *Network) loadFrequencies(t architecture.Tensor, source Source, long bool) (err error) {
	if r := &n.rotary[t.Number]; r.long == long {
		r.frequencies, err = source.Vector(t)
	}
	return err
}

func (l *Layer) load(t architecture.Tensor, source Source) error {
	switch t.Role {
	case architecture.AttentionNorm:
		return l.Attention.Norm.load(t, source)
	case architecture.QueryNorm:
		return l.Attention.mix.(*attention).queryNorm.load(t, source)
	case architecture.KeyNorm:
		return l.Attention.mix.(*attention).keyNorm.load(t, source)
	case architecture.AttentionOutputNorm:
		return l.Attention.OutputNorm.load(t, source)
	case architecture.QKV:
		return l.Attention.In.load(t, source)
	case architecture.AttentionOutput:
		return l.Attention.Out.load(t, source)
	case architecture.MLPNorm:
		return l.MLP.Norm.load(t, source)
	case architecture.MLPOutputNorm:
		return l.MLP.OutputNorm.load(t, source)
	case architecture.Up:
		return l.MLP.In.load(t, source)
	case architecture.Down:
		return l.MLP.Out.load(t, source)
	}
	return fmt.Errorf("%w: a layer has no tensor of role %d", format.ErrUnsupported, t.Role)
}

// complete gives the matrices their missing biases.
func (l *Layer) complete() {
	for _, b := range []*Branch{&l.Attention, &l.MLP} {
		b.In.complete()
		b.Out.complete()
	}
}
