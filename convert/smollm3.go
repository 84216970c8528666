package convert

import "github.com/tti-llm/tti/format/architecture"

// smollm3 converts SmolLM3 (HuggingFace, 2025): some layers have no rotary embedding.
var smollm3 = decoder{
	name: "smollm3", class: "SmolLM3ForCausalLM", base: "SmolLM3Model",
	defaults: decoderDefaults{
		vocabulary: 128256, embedding: 2048, hidden: 11008, layers: 36, heads: 16, kvHeads: 4, context: 32768, epsilon: 1e-6, base: 2e6, tied: true,
		eos: 128001, bos: 128000,
	},
	read: func(c *config, h *architecture.Decoder) {
		readBiases(c, h)
		interval := c.size("no_rope_layer_interval", 4)
		turned := c.counts("no_rope_layers")
		if turned != nil && len(turned) != len(h.Layers) {
			c.fail("no_rope_layers", "has %d entries, num_hidden_layers is %d", len(turned), len(h.Layers))
			turned = nil
		}
		for i := range h.Layers {
			if turned == nil && (i+1)%interval == 0 || turned != nil && turned[i] == 0 {
				h.Layers[i].Rotary = nil
			}
		}
		window := 0
		if c.boolean("use_sliding_window", false) {
			window = c.window(0)
		}
		c.setWindows(h, window, func(i int) bool { return window > 0 && h.Layers[i].Rotary == nil })
	},
	write: func(h *architecture.Decoder, fields map[string]any) {
		writeBiases(h, fields)
		turned := make([]int, len(h.Layers))
		for i, l := range h.Layers {
			if l.Rotary != nil {
				turned[i] = 1
			}
		}
		fields["no_rope_layers"], fields["layer_types"] = turned, layerTypesOf(h)
		fields["use_sliding_window"], fields["sliding_window"] = windowOf(h) != nil, windowOf(h)
	},
}
