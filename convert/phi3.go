package convert

import (
	"github.com/tti-llm/tti/convert/rotary"
	"github.com/tti-llm/tti/format/architecture"
)

// phi3 converts Phi-3 and Phi-4-mini (M. Abdin et al., "Phi-3 Technical Report", 2024): fused matrices, rotary embedding of a
// part of each head, and two sets of its frequencies, for short and for long contexts.
var phi3 = decoder{
	name: "phi3", class: "Phi3ForCausalLM", base: "Phi3Model", fused: true,
	defaults: decoderDefaults{
		vocabulary: 32064, embedding: 3072, hidden: 8192, layers: 32, heads: 32, context: 4096, originalContext: 4096, epsilon: 1e-5, base: 10000, eos: 32000, bos: 1,
	},
	ropeAliases: map[string]rotary.Type{`"su"`: rotary.LongRoPE, `"yarn"`: rotary.LongRoPE}, // as early files call it
	read: func(c *config, h *architecture.Decoder) {
		c.windowEverywhere(h, 0)
	},
	write: func(h *architecture.Decoder, fields map[string]any) {
		fields["sliding_window"] = windowOf(h)
		// Its configuration allows these three fields here and no others.
		if scaling, ok := fields["rope_scaling"].(rope); ok && scaling.kind() == rotary.LongRoPE {
			fields["original_max_position_embeddings"] = scaling["original_max_position_embeddings"]
			short := rope{"type": scaling["rope_type"], "short_factor": scaling["short_factor"], "long_factor": scaling["long_factor"]}
			for _, name := range []string{"factor", "attention_factor"} {
				if value, ok := scaling[name]; ok {
					short[name] = value
				}
			}
			fields["rope_scaling"] = short
		}
	},
}
