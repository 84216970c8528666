package convert

import (
	"encoding/json"
	"math"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/format/architecture"
)

// gemma2 converts Gemma 2 (Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", 2024): norms around
// the branches with weights around zero, soft caps, and a window in every other layer.
var gemma2 = decoder{
	name: "gemma2", class: "Gemma2ForCausalLM", base: "Gemma2Model", activationField: "hidden_activation",
	defaults: decoderDefaults{
		vocabulary: 256000, embedding: 2304, hidden: 9216, layers: 26, heads: 8, kvHeads: 4, headWidth: 256, context: 8192, epsilon: 1e-6, base: 10000,
		activation: "gelu_pytorch_tanh", tied: true, eos: 1, bos: 2,
	},
	read: func(c *config, h *architecture.Decoder) {
		readGemma(c, h, 50, 30)
		c.setWindows(h, c.window(4096), func(i int) bool { return i%2 == 0 })
	},
	write: writeGemma,
}

// gemma3Text converts the text models of Gemma 3 (Gemma Team, "Gemma 3 Technical Report", 2025): norms of queries and keys in
// place of the caps, and a rotary embedding of their own for the layers with a window.
var gemma3Text = decoder{
	name: "gemma3_text", class: "Gemma3ForCausalLM", base: "Gemma3TextModel", activationField: "hidden_activation", ropeKind: fullAttention,
	defaults: decoderDefaults{
		vocabulary: 262208, embedding: 2304, hidden: 9216, layers: 26, heads: 8, kvHeads: 4, headWidth: 256, context: 131072, epsilon: 1e-6, base: 1e6,
		activation: "gelu_pytorch_tanh", tied: true, eos: 1, bos: 2,
	},
	read: func(c *config, h *architecture.Decoder) {
		readGemma(c, h, 0, 0)
		h.QueryKeyNorm = architecture.PerHead
		pattern := c.size("sliding_window_pattern", c.size("_sliding_window_pattern", 6))
		c.setWindows(h, c.window(4096), func(i int) bool { return (i+1)%pattern != 0 })
		sliding := c.layerTypes(len(h.Layers), func(i int) bool { return (i+1)%pattern != 0 })
		h.Rotary = append(h.Rotary, localRotary(c, h))
		local := 1
		for i := range h.Layers {
			if sliding[i] {
				h.Layers[i].Rotary = &local
			}
		}
	},
	write: func(h *architecture.Decoder, fields map[string]any) {
		writeGemma(h, fields)
		if len(h.Rotary) > 1 {
			if local, err := ropeSource(h.Rotary[1]); err == nil {
				fields["rope_local_base_freq"] = local["rope_theta"]
			}
		}
	},
}

// localRotary reads the rotary embedding of the layers with a window: it is never scaled.
func localRotary(c *config, h *architecture.Decoder) architecture.Rotary {
	if parameters := c.object("rope_parameters"); parameters != nil && parameters.has(slidingAttention) {
		return readRotary(c, h, slidingAttention, ropeUsual{})
	}
	plain := &config{fields: map[string]json.RawMessage{}, parent: c}
	return readRotary(plain, h, slidingAttention, ropeUsual{base: c.positive("rope_local_base_freq", 10000)})
}

func readGemma(c *config, h *architecture.Decoder, attentionCap, logitCap float64) {
	h.QKVBias = c.boolean("attention_bias", false)
	h.OutputBias = h.QKVBias
	h.NormOffset, h.OutputNorms = 1, true
	h.EmbeddingMultiplier = math.Sqrt(float64(h.Embedding))
	h.AttentionMultiplier = 1 / math.Sqrt(c.positive("query_pre_attn_scalar", 256))
	h.AttentionCap, h.LogitCap = c.softCap("attn_logit_softcapping", attentionCap), c.softCap("final_logit_softcapping", logitCap)
}

func writeGemma(h *architecture.Decoder, fields map[string]any) {
	fields["hidden_activation"] = fields["hidden_act"]
	fields["attention_bias"] = h.QKVBias
	scalar := 1 / (h.AttentionMultiplier * h.AttentionMultiplier)
	if whole := math.Round(scalar); 1/math.Sqrt(whole) == h.AttentionMultiplier {
		scalar = whole
	}
	fields["query_pre_attn_scalar"] = scalar
	fields["attn_logit_softcapping"], fields["final_logit_softcapping"] = writtenCap(h.AttentionCap), writtenCap(h.LogitCap)
	fields["sliding_window"], fields["layer_types"] = windowOf(h), layerTypesOf(h)
}

// softCap reads a cap: 0 where it is null.
func (c *config) softCap(name string, usual float64) float64 {
	if c.null(name) {
		return 0
	}
	return c.positive(name, usual)
}

// writtenCap is a cap for a configuration: null for none.
func writtenCap(limit float64) any {
	if limit == 0 {
		return nil
	}
	return limit
}

// gemma3 converts the text part of Gemma 3 models that also see: their configuration has it in an object of its own.
type gemma3 struct{}

// gemma3Parts are the beginnings of names of what is no text model, in version 4 of transformers and in version 5.
var gemma3Parts = []string{"vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."}

func (gemma3) modelType() string { return "gemma3" }
func (gemma3) classes() []string { return []string{"Gemma3ForConditionalGeneration", "Gemma3Model"} }

func (gemma3) plan(c *config, p *planner) (architecture.Hyperparameters, error) {
	c.absent(decoderUnsupported...)
	text := c.object("text_config")
	if text == nil {
		c.fail("text_config", "missing")
		return nil, c.err
	}
	for _, name := range []string{"eos_token_id", "bos_token_id", "tie_word_embeddings"} { // what the whole says counts for its parts
		if _, ok := c.fields[name]; ok {
			text.fields[name] = c.fields[name]
		}
	}
	p.prefixes = append(p.prefixes, "language_model."+huggingface.DecoderPrefix, huggingface.DecoderPrefix+"language_model.", "language_model.")
	for _, part := range gemma3Parts {
		p.skipped[part] = 0
	}
	h, err := gemma3Text.plan(text, p)
	if c.err != nil {
		return nil, c.err
	}
	return h, err
}

// export is never asked for: the files of these models know the family as gemma3_text.
func (gemma3) export(h architecture.Hyperparameters, dtype string) (exported, error) {
	return gemma3Text.export(h, dtype)
}
