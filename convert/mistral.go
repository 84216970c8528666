package convert

import "github.com/tti-llm/tti/format/architecture"

// mistral converts Mistral 7B (A. Q. Jiang et al., 2023) and its kin: a Llama with a window in all layers, or in none.
var mistral = decoder{
	name: "mistral", class: "MistralForCausalLM", base: "MistralModel",
	defaults: decoderDefaults{
		vocabulary: 32000, embedding: 4096, hidden: 14336, layers: 32, heads: 32, kvHeads: 8, context: 131072, epsilon: 1e-6, base: 10000, eos: 2, bos: 1,
	},
	read: func(c *config, h *architecture.Decoder) {
		c.windowEverywhere(h, 4096)
	},
	write: func(h *architecture.Decoder, fields map[string]any) {
		fields["sliding_window"] = windowOf(h)
	},
}
