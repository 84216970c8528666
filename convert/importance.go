package convert

import "github.com/tti-llm/tti/format/architecture"

// weigh tells the planned matrices how much each of their inputs varies, as far as other weights let
// it be known without a text. The outputs of a layer norm have about the variance of its squared weights, and
// the values of attention are sums of such outputs. The fable model's divergence from its original
// falls by 5 % where int4 groups take their scales for these variances. The matrices of MLPs are left
// out: for theirs, found in the same way, it rose.
func (p *planner) weigh(tied bool) {
	for i := range p.weights {
		w := &p.weights[i]
		if w.Bias {
			continue
		}
		switch w.Role {
		case architecture.QKV:
			w.importance = p.normVariance(architecture.AttentionNorm, w.Layer)
		case architecture.AttentionOutput:
			w.importance = p.valueVariance(w.Layer, w.Shape[1])
		case architecture.TokenEmbedding, architecture.Head:
			if w.Role == architecture.Head || tied {
				w.importance = p.normVariance(architecture.FinalNorm, -1)
			}
		}
	}
}

// planned returns the weight that has a role in a layer.
func (p *planner) planned(role architecture.Role, layer int) weight {
	for _, w := range p.weights {
		if w.Role == role && w.Layer == layer && !w.Bias {
			return w
		}
	}
	return weight{}
}

// normVariance returns the variance of each output of a norm, given by its weight.
func (p *planner) normVariance(role architecture.Role, layer int) func() []float32 {
	norm := p.planned(role, layer)
	return func() []float32 {
		variance := make([]float32, norm.Shape[0])
		norm.values(variance, 0)
		for i, w := range variance {
			variance[i] = w * w
		}
		return variance
	}
}

// valueVariance returns the variance of each of a layer's values, of that width together, which are the last rows of
// queries, keys and values, for inputs that are independent.
func (p *planner) valueVariance(layer, width int) func() []float32 {
	qkv, inputs := p.planned(architecture.QKV, layer), p.normVariance(architecture.AttentionNorm, layer)
	return func() []float32 {
		variances := inputs()
		values := make([]float32, width*len(variances))
		qkv.rows(values, qkv.Shape[0]-width, width, len(variances))
		variance := make([]float32, width)
		for r := range variance {
			for k, v := range variances {
				w := values[r*len(variances)+k]
				variance[r] += float32(float32(w*w) * v)
			}
		}
		return variance
	}
}
