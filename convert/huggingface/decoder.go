package huggingface

import (
	"fmt"

	"github.com/tti-llm/tti/format/architecture"
)

// DecoderPrefix stands before all names but that of the head.
const DecoderPrefix = "model."

// DecoderHead is the output head.
const DecoderHead = "lm_head.weight"

// DecoderEmbedding is the token embedding, without the prefix.
const DecoderEmbedding = "embed_tokens.weight"

// decoderNames are the names after "layers.N." of what is kept in one part, without "weight" or "bias".
var decoderNames = map[architecture.Role]string{
	architecture.AttentionNorm:       "input_layernorm",
	architecture.QueryNorm:           "self_attn.q_norm",
	architecture.KeyNorm:             "self_attn.k_norm",
	architecture.AttentionOutput:     "self_attn.o_proj",
	architecture.AttentionOutputNorm: "post_attention_layernorm",
	architecture.Down:                "mlp.down_proj",
	architecture.MLPOutputNorm:       "post_feedforward_layernorm",
}

// Decoder returns the place of a tensor in the model directories of families that follow Llama, without the prefix. Where
// they are fused, the directory keeps queries, keys and values in one matrix, and gate and up in another.
func Decoder(h *architecture.Decoder, fused bool, t architecture.Tensor) Place {
	kind := ".weight"
	if t.Bias {
		kind = ".bias"
	}
	layer := fmt.Sprintf("layers.%d.", t.Layer)
	one := func(name string) Place { return Place{Parts: []Part{{name, t.Shape[0]}}} }
	switch t.Role {
	case architecture.TokenEmbedding:
		return one(DecoderEmbedding)
	case architecture.FinalNorm:
		return one("norm.weight")
	case architecture.Head:
		return one(DecoderHead)
	case architecture.Frequencies, architecture.LongFrequencies:
		return Place{}
	case architecture.MLPNorm:
		if h.OutputNorms { // where the attention's has the name that Llama's MLP has
			return one(layer + "pre_feedforward_layernorm" + kind)
		}
		return one(layer + "post_attention_layernorm" + kind)
	case architecture.QKV:
		if fused {
			return one(layer + "self_attn.qkv_proj" + kind)
		}
		queries, keys := h.Heads*h.HeadWidth, h.KVHeads*h.HeadWidth
		return Place{Parts: []Part{
			{layer + "self_attn.q_proj" + kind, queries}, {layer + "self_attn.k_proj" + kind, keys}, {layer + "self_attn.v_proj" + kind, keys},
		}}
	case architecture.Up:
		if fused {
			return one(layer + "mlp.gate_up_proj" + kind)
		}
		return Place{Parts: []Part{{layer + "mlp.gate_proj" + kind, h.Hidden}, {layer + "mlp.up_proj" + kind, h.Hidden}}}
	}
	return one(layer + decoderNames[t.Role] + kind)
}
