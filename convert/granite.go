package convert

import "github.com/tti-llm/tti/format/architecture"

// granite converts Granite 3 (IBM, "Granite 3.0 Language Models", 2024): a Llama with multipliers.
var granite = decoder{
	name: "granite", class: "GraniteForCausalLM", base: "GraniteModel",
	defaults: decoderDefaults{
		vocabulary: 32000, embedding: 4096, hidden: 11008, layers: 32, heads: 32, context: 2048, epsilon: 1e-6, base: 10000, eos: 2, bos: 1,
	},
	read: func(c *config, h *architecture.Decoder) {
		readBiases(c, h)
		h.EmbeddingMultiplier, h.AttentionMultiplier = c.number("embedding_multiplier", 1), c.number("attention_multiplier", 1)
		h.ResidualMultiplier, h.LogitDivisor = c.number("residual_multiplier", 1), c.number("logits_scaling", 1)
		c.noLayerTypes(h)
	},
	write: func(h *architecture.Decoder, fields map[string]any) {
		writeBiases(h, fields)
		fields["embedding_multiplier"], fields["attention_multiplier"] = h.EmbeddingMultiplier, h.AttentionMultiplier
		fields["residual_multiplier"], fields["logits_scaling"] = h.ResidualMultiplier, h.LogitDivisor
	},
}
