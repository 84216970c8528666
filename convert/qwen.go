package convert

import "github.com/tti-llm/tti/format/architecture"

// qwen2 converts Qwen 2 and 2.5 (A. Yang et al., "Qwen2 Technical Report", 2024): biases of queries, keys and values, and a
// window in the later layers where the configuration wants it.
var qwen2 = decoder{
	name: "qwen2", class: "Qwen2ForCausalLM", base: "Qwen2Model",
	defaults: decoderDefaults{
		vocabulary: 151936, embedding: 4096, hidden: 22016, layers: 32, heads: 32, kvHeads: 32, context: 32768, epsilon: 1e-6, base: 10000, eos: -1, bos: -1,
	},
	read: func(c *config, h *architecture.Decoder) {
		h.QKVBias = true
		readQwenWindows(c, h)
	},
	write: writeQwenWindows,
}

// qwen3 converts Qwen 3 ("Qwen3 Technical Report", 2025): norms of each head's queries and keys.
var qwen3 = decoder{
	name: "qwen3", class: "Qwen3ForCausalLM", base: "Qwen3Model",
	defaults: decoderDefaults{
		vocabulary: 151936, embedding: 4096, hidden: 22016, layers: 32, heads: 32, kvHeads: 32, headWidth: 128, context: 32768, epsilon: 1e-6, base: 10000,
		eos: -1, bos: -1,
	},
	read: func(c *config, h *architecture.Decoder) {
		h.QueryKeyNorm = architecture.PerHead
		h.QKVBias = c.boolean("attention_bias", false)
		h.OutputBias = h.QKVBias
		readQwenWindows(c, h)
	},
	write: func(h *architecture.Decoder, fields map[string]any) {
		fields["attention_bias"] = h.QKVBias
		writeQwenWindows(h, fields)
	},
}

func readQwenWindows(c *config, h *architecture.Decoder) {
	window, first := 0, c.count("max_window_layers", 28)
	if c.boolean("use_sliding_window", false) {
		window = c.window(4096)
	}
	c.setWindows(h, window, func(i int) bool { return window > 0 && i >= first })
}

func writeQwenWindows(h *architecture.Decoder, fields map[string]any) {
	first := 0
	for first < len(h.Layers) && h.Layers[first].Window == 0 {
		first++
	}
	fields["use_sliding_window"], fields["sliding_window"] = windowOf(h) != nil, windowOf(h)
	fields["max_window_layers"], fields["layer_types"] = first, layerTypesOf(h)
}
