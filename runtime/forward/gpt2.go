package forward

import (
	"math"

	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/kernels"
)

// activationFunctions are the kernels behind the names in the file.
var activationFunctions = map[architecture.Activation]kernels.ActivationFunction{
	architecture.GELUTanh: kernels.GELUTanh,
	architecture.GELU:     kernels.GELU,
	architecture.ReLU:     kernels.ReLU,
	architecture.SiLU:     kernels.SiLU,
}

func newGPT2(h *architecture.GPT2, context int) *Network {
	width, norm := h.Embedding/h.Heads, Norm{Kind: LayerNorm, Epsilon: float32(h.Epsilon)}
	return &Network{
		Shape: Shape{
			Vocabulary: h.Vocabulary, Context: context, Embedding: h.Embedding, Layers: h.Layers,
			Heads: h.Heads, KVHeads: h.Heads, HeadWidth: width, Hidden: h.Hidden,
		},
		FinalNorm: norm,
		newLayer: func(i int) Layer {
			scale := 1.0
			if h.ScaleAttention {
				scale /= math.Sqrt(float64(width))
			}
			if h.ScaleByLayer {
				scale /= float64(i + 1)
			}
			return Layer{
				Attention: Branch{
					Norm: norm,
					mix:  &attention{layer: i, heads: h.Heads, kvHeads: h.Heads, width: width, scale: float32(scale)},
				},
				MLP: Branch{
					Norm: norm,
					mix:  &activation{hidden: h.Hidden, function: activationFunctions[h.Activation]},
				},
			}
		},
	}
}
