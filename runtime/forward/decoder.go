package forward

import "github.com/tti-llm/tti/format/architecture"

func newDecoder(h *architecture.Decoder, context int) *Network {
	norm := func(wanted bool) Norm {
		if !wanted {
			return Norm{}
		}
		return Norm{Kind: RMSNorm, Epsilon: float32(h.Epsilon), offset: float32(h.NormOffset)}
	}
	branch := func(mix mixer) Branch {
		return Branch{Norm: norm(h.InputNorms), OutputNorm: norm(h.OutputNorms), Multiplier: multiplier(h.ResidualMultiplier), mix: mix}
	}
	n := &Network{
		Shape: Shape{
			Vocabulary: h.Vocabulary, Context: context, Embedding: h.Embedding, Layers: len(h.Layers),
			Heads: h.Heads, KVHeads: h.KVHeads, HeadWidth: h.HeadWidth, Hidden: h.Hidden,
		},
		multiplier:      multiplier(h.EmbeddingMultiplier),
		gated:           true,
		FinalNorm:       norm(true),
		logitMultiplier: multiplier(1 / h.LogitDivisor),
		logitCap:        float32(h.LogitCap),
		newLayer: func(i int) Layer {
			queryKeyNorm := norm(h.QueryKeyNorm != architecture.NoNorm)
			return Layer{
				Attention: branch(&attention{
					layer: i, heads: h.Heads, kvHeads: h.KVHeads, width: h.HeadWidth, scale: float32(h.AttentionMultiplier),
					window: h.Layers[i].Window, softCap: float32(h.AttentionCap), rotary: h.Layers[i].Rotary,
					queryNorm: queryKeyNorm, keyNorm: queryKeyNorm,
				}),
				MLP: branch(&gate{hidden: h.Hidden, function: activationFunctions[h.Activation]}),
			}
		},
	}
	for _, r := range h.Rotary {
		n.rotary = append(n.rotary, rotary{scale: float32(r.Scale), long: r.ShortContext > 0 && context > r.ShortContext})
	}
	return n
}

// multiplier returns a factor, 0 where it would change nothing.
func multiplier(factor float64) float32 {
	if factor == 1 {
		return 0
	}
	return float32(factor)
}
