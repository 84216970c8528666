package convert

import "github.com/tti-llm/tti/format/architecture"

// olmo2 converts OLMo 2 ("2 OLMo 2 Furious", 2024): norms of what comes out of the branches and none of what goes in, and
// norms of all queries and all keys of a token together.
var olmo2 = decoder{
	name: "olmo2", class: "Olmo2ForCausalLM", base: "Olmo2Model",
	defaults: decoderDefaults{
		vocabulary: 50304, embedding: 4096, hidden: 11008, layers: 32, heads: 32, context: 2048, epsilon: 1e-5, base: 10000, eos: 50279, bos: -1,
	},
	read: func(c *config, h *architecture.Decoder) {
		h.QKVBias = c.boolean("attention_bias", false)
		h.OutputBias = h.QKVBias
		h.InputNorms, h.OutputNorms, h.QueryKeyNorm = false, true, architecture.AllOf
		c.noLayerTypes(h)
	},
	write: func(h *architecture.Decoder, fields map[string]any) {
		fields["attention_bias"] = h.QKVBias
	},
}
