package convert

import "github.com/tti-llm/tti/format/architecture"

// llama converts Llama, versions 1 to 3.2 (H. Touvron et al., 2023), and whatever else has its architecture.
var llama = decoder{
	name: "llama", class: "LlamaForCausalLM", base: "LlamaModel",
	defaults: decoderDefaults{
		vocabulary: 32000, embedding: 4096, hidden: 11008, layers: 32, heads: 32, context: 2048, epsilon: 1e-6, base: 10000, eos: 2, bos: 1,
	},
	read: func(c *config, h *architecture.Decoder) {
		readBiases(c, h)
		c.noLayerTypes(h)
	},
	write: writeBiases,
}

// readBiases reads the fields that give matrices biases.
func readBiases(c *config, h *architecture.Decoder) {
	h.QKVBias = c.boolean("attention_bias", false)
	h.OutputBias = h.QKVBias
	h.MLPBias = c.boolean("mlp_bias", false)
}

func writeBiases(h *architecture.Decoder, fields map[string]any) {
	fields["attention_bias"], fields["mlp_bias"] = h.QKVBias, h.MLPBias
}
