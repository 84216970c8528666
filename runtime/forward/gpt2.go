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
}

func newGPT2(h *architecture.GPT2) *Network {
	width, epsilon := h.Embedding/h.Heads, float32(h.Epsilon)
	return &Network{
		Shape: Shape{
			Vocabulary: h.Vocabulary, Context: h.Context, Embedding: h.Embedding, Layers: h.Layers,
			Heads: h.Heads, KVHeads: h.Heads, HeadWidth: width, Hidden: h.Hidden,
		},
		FinalNorm: Norm{Epsilon: epsilon},
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
					Norm: Norm{Epsilon: epsilon},
					mix:  &attention{layer: i, heads: h.Heads, kvHeads: h.Heads, width: width, scale: float32(scale)},
				},
				MLP: Branch{
					Norm: Norm{Epsilon: epsilon},
					mix:  &activation{hidden: h.Hidden, function: activationFunctions[h.Activation]},
				},
			}
		},
	}
}
