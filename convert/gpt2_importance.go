package convert

import "fmt"

// weigh tells the planned matrices how much each of their inputs varies, as far as other weights let
// it be known without a text. The outputs of a layer norm have about the variance of its squared weights, and
// the values of attention are sums of such outputs. The fable model's divergence from its original
// falls by 5 % where int4 groups take their scales for these variances. The matrices of MLPs are left
// out: for theirs, found in the same way, it rose.
func (h *gpt2Hyperparameters) weigh(p *planner) {
	head := "wte.weight"
	if !h.TiedHead {
		head = gpt2Head
	}
	importance := map[string]func() []float32{head: p.normVariance("ln_f.weight")}
	for layer := range h.Layers {
		block := fmt.Sprintf("h.%d.", layer)
		norm := p.normVariance(block + "ln_1.weight")
		importance[block+"attn.c_attn.weight"] = norm
		importance[block+"attn.c_proj.weight"] = p.valueVariance(block+"attn.c_attn.weight", norm)
	}
	for i, w := range p.weights {
		p.weights[i].importance = importance[w.name]
	}
}

// normVariance returns the variance of each output of a layer norm, given by its weight.
func (p *planner) normVariance(name string) func() []float32 {
	norm, _ := p.find(name)
	return func() []float32 {
		variance := make([]float32, norm.shape[0])
		norm.values(variance, 0)
		for i, w := range variance {
			variance[i] = w * w
		}
		return variance
	}
}

// valueVariance returns the variance of each value that the combined matrix of queries, keys and values,
// which the source keeps as [in, out], makes of independent inputs.
func (p *planner) valueVariance(name string, inputs func() []float32) func() []float32 {
	combined, _ := p.find(name)
	return func() []float32 {
		width := combined.shape[1] / 3
		row, variance := make([]float32, width), make([]float32, width)
		for k, v := range inputs() {
			combined.values(row, k*3*width+2*width)
			for r, w := range row {
				variance[r] += float32(float32(w*w) * v)
			}
		}
		return variance
	}
}
