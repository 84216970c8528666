package convert

import (
	"context"
	"fmt"
	"math"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
)

// gpt2Calibration runs GPT-2 over the text twice at the same time: as it was and as it will be. The
// text is cut into windows of the model's context, each of which starts afresh.
type gpt2Calibration struct {
	*calibration
	*gpt2Hyperparameters
	original, rounded []float32 // the residual streams, [tokens, embedding]
}

// gpt2Half is one half of a block: a norm, a matrix, something between that mixes or bends its
// outputs, and a second matrix whose outputs are added to the residual stream.
type gpt2Half struct {
	norm, in, out string
	width         int // inputs of the second matrix
	between       func(ctx context.Context, y []float32, count int, cache kernels.CacheEncoding) ([]float32, error)
}

// gpt2Kernels maps the activations of the file to their kernels.
var gpt2Kernels = map[string]kernels.Activation{"gelu_new": kernels.GELUTanh, "gelu": kernels.GELU, "relu": kernels.ReLU}

// calibrate rounds the matrices in the order in which they are used. Only a tied head comes first,
// for the inputs that the original model has: it is the embedding that all begins with.
func (h *gpt2Hyperparameters) calibrate(ctx context.Context, c *calibration) error {
	g := &gpt2Calibration{calibration: c, gpt2Hyperparameters: h}
	for _, id := range c.tokens {
		if id < 0 || int(id) >= h.Vocabulary {
			return fmt.Errorf("calibration: token %d of a vocabulary of %d", id, h.Vocabulary)
		}
	}
	tokens, err := c.matrix(ctx, "wte", format.PanelF32)
	if err != nil {
		return err
	}
	if g.original, err = g.embed(ctx, tokens); err != nil {
		return err
	}
	var rounded layer
	if h.TiedHead {
		if rounded, err = g.tiedHead(ctx); err == nil {
			g.original, err = g.embed(ctx, tokens)
		}
	} else {
		rounded, err = c.matrix(ctx, "wte", c.encodings[embedding])
	}
	if err != nil {
		return err
	}
	if g.rounded, err = g.embed(ctx, rounded); err != nil {
		return err
	}
	for i := range h.Layers {
		for _, half := range g.halves(i) {
			if err := g.roundHalf(ctx, half); err != nil {
				return err
			}
		}
	}
	if h.TiedHead {
		return nil
	}
	_, err = g.roundHead(ctx, "lm_head", g.rounded)
	return err
}

// halves returns the two halves of a block.
func (g *gpt2Calibration) halves(i int) [2]gpt2Half {
	block := fmt.Sprintf("h.%d.", i)
	attend := func(ctx context.Context, y []float32, count int, cache kernels.CacheEncoding) ([]float32, error) {
		return g.attend(ctx, y, count, i, cache)
	}
	return [2]gpt2Half{
		{block + "ln_1", block + "attn.c_attn", block + "attn.c_proj", g.Embedding, attend},
		{block + "ln_2", block + "mlp.c_fc", block + "mlp.c_proj", g.Inner, g.activate},
	}
}

// windows calls f for consecutive pieces of the text, at most a context long.
func (g *gpt2Calibration) windows(f func(first, count int) error) error {
	for first := 0; first < len(g.tokens); first += g.Positions {
		if err := f(first, min(g.Positions, len(g.tokens)-first)); err != nil {
			return err
		}
	}
	return nil
}

// embed returns the residual stream that the model begins with.
func (g *gpt2Calibration) embed(ctx context.Context, tokens layer) ([]float32, error) {
	positions, err := g.vector(ctx, "wpe.weight")
	stream := make([]float32, len(g.tokens)*g.Embedding)
	for t, id := range g.tokens {
		row := stream[t*g.Embedding:][:g.Embedding]
		tokens.weights.Row(int(id), row)
		g.kernels.Add(row, positions[t%g.Positions*g.Embedding:][:g.Embedding])
	}
	return stream, err
}

// tiedHead runs the original model to its end and rounds the head for what arrives there.
func (g *gpt2Calibration) tiedHead(ctx context.Context) (layer, error) {
	for i := range g.Layers {
		for _, half := range g.halves(i) {
			in, out, err := g.originals(ctx, half)
			if err != nil {
				return layer{}, err
			}
			err = g.windows(func(first, count int) error {
				return g.advance(ctx, half, in, out, g.original, first, count, kernels.CacheF32)
			})
			if err != nil {
				return layer{}, err
			}
		}
	}
	return g.roundHead(ctx, "wte", g.original)
}

// roundHead rounds the output head for the residual stream of the last block. It has no targets: a
// head has no bias to take the mean, and one for every token would be large.
func (g *gpt2Calibration) roundHead(ctx context.Context, name string, stream []float32) (layer, error) {
	m := newMoments(format.PaddedColumns(g.Embedding), 0)
	err := g.windows(func(first, count int) error {
		x, err := g.normalized(ctx, "ln_f", stream, first, count)
		if err != nil {
			return err
		}
		return m.add(ctx, g.calibration, x, nil)
	})
	if err != nil {
		return layer{}, err
	}
	return g.round(ctx, name, m)
}

// originals returns both matrices of a half as they were.
func (g *gpt2Calibration) originals(ctx context.Context, half gpt2Half) (in, out layer, err error) {
	if in, err = g.matrix(ctx, half.in, format.PanelF32); err == nil {
		out, err = g.matrix(ctx, half.out, format.PanelF32)
	}
	return in, out, err
}

// roundHalf rounds both matrices of a half and takes both residual streams past it.
func (g *gpt2Calibration) roundHalf(ctx context.Context, half gpt2Half) error {
	in, out, err := g.originals(ctx, half)
	if err != nil {
		return err
	}
	// The first matrix should give what it gave in the original model.
	m := newMoments(format.PaddedColumns(g.Embedding), in.rows())
	err = g.windows(func(first, count int) error {
		before, err := g.normalized(ctx, half.norm, g.original, first, count)
		if err != nil {
			return err
		}
		targets, err := g.apply(ctx, in, before)
		if err != nil {
			return err
		}
		x, err := g.normalized(ctx, half.norm, g.rounded, first, count)
		if err != nil {
			return err
		}
		return m.add(ctx, g.calibration, x, targets)
	})
	if err != nil {
		return err
	}
	roundedIn, err := g.round(ctx, half.in, m)
	if err != nil {
		return err
	}
	// The second should give what takes the residual stream to where the original's is.
	m = newMoments(format.PaddedColumns(half.width), out.rows())
	err = g.windows(func(first, count int) error {
		if err := g.advance(ctx, half, in, out, g.original, first, count, kernels.CacheF32); err != nil {
			return err
		}
		x, err := g.middle(ctx, half, roundedIn, g.rounded, first, count, kernels.CacheF16)
		if err != nil {
			return err
		}
		targets := make([]float32, count*out.rows())
		for t := range count {
			at := (first + t) * g.Embedding
			for d := range g.Embedding {
				targets[t*out.rows()+d] = g.original[at+d] - g.rounded[at+d]
			}
		}
		return m.add(ctx, g.calibration, x, targets)
	})
	if err != nil {
		return err
	}
	roundedOut, err := g.round(ctx, half.out, m)
	if err != nil {
		return err
	}
	return g.windows(func(first, count int) error {
		return g.advance(ctx, half, roundedIn, roundedOut, g.rounded, first, count, kernels.CacheF16)
	})
}

// advance takes a window of a residual stream past a half.
func (g *gpt2Calibration) advance(ctx context.Context, half gpt2Half, in, out layer, stream []float32, first, count int, cache kernels.CacheEncoding) error {
	x, err := g.middle(ctx, half, in, stream, first, count, cache)
	if err != nil {
		return err
	}
	y, err := g.apply(ctx, out, x)
	if err != nil {
		return err
	}
	for t := range count {
		g.kernels.Add(stream[(first+t)*g.Embedding:][:g.Embedding], y[t*out.rows():][:g.Embedding])
	}
	return nil
}

// middle returns the inputs of a half's second matrix, [count, half.width].
func (g *gpt2Calibration) middle(ctx context.Context, half gpt2Half, in layer, stream []float32, first, count int, cache kernels.CacheEncoding) (*kernels.Input, error) {
	x, err := g.normalized(ctx, half.norm, stream, first, count)
	if err != nil {
		return nil, err
	}
	y, err := g.apply(ctx, in, x)
	if err != nil {
		return nil, err
	}
	if y, err = half.between(ctx, y, count, cache); err != nil {
		return nil, err
	}
	stride := len(y) / count
	return g.inputs(ctx, count, half.width, func(t int, row []float32) { copy(row, y[t*stride:]) })
}

// normalized returns a window of a residual stream after a layer norm.
func (g *gpt2Calibration) normalized(ctx context.Context, norm string, stream []float32, first, count int) (*kernels.Input, error) {
	weight, err := g.vector(ctx, norm+".weight")
	if err != nil {
		return nil, err
	}
	bias, err := g.vector(ctx, norm+".bias")
	if err != nil {
		return nil, err
	}
	return g.inputs(ctx, count, g.Embedding, func(t int, row []float32) {
		g.kernels.LayerNorm(row, len(row), stream[(first+t)*g.Embedding:], g.Embedding, 1, weight, bias, float32(g.Epsilon))
	})
}

func (g *gpt2Calibration) activate(ctx context.Context, y []float32, count int, _ kernels.CacheEncoding) ([]float32, error) {
	stride := len(y) / count
	return y, g.each(ctx, count, func(t int) error {
		g.kernels.Activate(gpt2Kernels[g.Activation], y[t*stride:(t+1)*stride])
		return nil
	})
}

// attend runs causal attention over queries, keys and values y, [count, 3 embedding], and returns
// [count, embedding].
func (g *gpt2Calibration) attend(ctx context.Context, y []float32, count, layer int, cache kernels.CacheEncoding) ([]float32, error) {
	stride, width := len(y)/count, g.Embedding/g.Heads
	scale := g.scale(layer)
	out := make([]float32, count*g.Embedding)
	return out, g.each(ctx, g.Heads, func(h int) error {
		head := &kernels.NewHeads(cache, 1, width, count)[0]
		queries := make([]float32, count*head.Dimensions)
		for t := range count {
			row := y[t*stride+h*width:]
			for d, v := range row[:width] {
				queries[t*head.Dimensions+d] = v * scale
			}
			g.kernels.Store(head, t, row[g.Embedding:][:width], row[2*g.Embedding:][:width])
		}
		result := make([]float32, len(queries))
		g.kernels.Attend(result, head.Dimensions, queries, head, 0, count, make([]float32, kernels.ScoreSpace(head.Positions)))
		for t := range count {
			copy(out[t*g.Embedding+h*width:][:width], result[t*head.Dimensions:])
		}
		return nil
	})
}

// scale returns what the attention scores of a layer are multiplied with.
func (g *gpt2Calibration) scale(layer int) float32 {
	scale := 1.0
	if g.ScaleAttention {
		scale /= math.Sqrt(float64(g.Embedding / g.Heads))
	}
	if g.ScaleByInverseLayer {
		scale /= float64(layer + 1)
	}
	return float32(scale)
}
