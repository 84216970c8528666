package convert

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/convert/rotary"
	"github.com/tti-llm/tti/format/architecture"
)

// decoder is a family that follows Llama. Names, defaults and the meaning of the fields of config.json are those of the
// transformers library, of its versions 4 and 5. What families have in common is here; the files of the families say what
// they do not.
type decoder struct {
	name, class string // model_type, and the entry of architectures
	base        string // the entry of architectures for a model without a head
	defaults    decoderDefaults
	fused       bool // queries, keys and values are one matrix in the directory, and gate and up another

	activationField string                 // empty: hidden_act
	ropeKind        string                 // of layers, whose object of rope_parameters is the rotary embedding of all; empty: there is one for all
	ropeAliases     map[string]rotary.Type // other names, in quotes, of types of rotary embeddings

	// read sets what the family has of its own. The hyper-parameters are those of a Llama so far, with one rotary embedding for
	// all layers.
	read func(c *config, h *architecture.Decoder)
	// write sets the fields that read has read.
	write func(h *architecture.Decoder, fields map[string]any)
}

// decoderDefaults are what a configuration means that lacks a field.
type decoderDefaults struct {
	vocabulary, embedding, hidden, layers, heads, context int
	originalContext                                       int // of the training, if contexts have become longer; 0: context
	kvHeads                                               int // 0: as many as heads
	headWidth                                             int // 0: the embedding's share of a head
	epsilon, base                                         float64
	activation                                            string // empty: silu
	tied                                                  bool
	eos, bos                                              int // -1: none
}

// decoderActivations maps the names of config.json to those of the file.
var decoderActivations = map[string]architecture.Activation{
	"silu": architecture.SiLU, "swish": architecture.SiLU,
	"gelu_pytorch_tanh": architecture.GELUTanh, "gelu_new": architecture.GELUTanh,
	"gelu": architecture.GELU,
	"relu": architecture.ReLU,
}

// decoderUnsupported are fields that change the arithmetic or the tensors of some decoders when they are set.
var decoderUnsupported = []string{
	"quantization_config", "compression_config", "add_cross_attention", "is_encoder_decoder", "pruned_heads",
	"num_experts", "num_local_experts", "moe_intermediate_size", "attention_sinks", "attention_chunk_size", "use_bidirectional_attention",
}

func (f decoder) modelType() string { return f.name }
func (f decoder) classes() []string { return []string{f.class, f.base} }

func (f decoder) plan(c *config, p *planner) (architecture.Hyperparameters, error) {
	h := f.hyperparameters(c)
	tie := c.boolean("tie_word_embeddings", f.defaults.tied)
	if c.failed() {
		return nil, c.err
	}
	if err := h.Validate(); err != nil {
		return nil, err
	}
	p.tokenizer = tokenizerOptions(h.Vocabulary, h.EOS, h.BOS)
	p.prefixes = append(p.prefixes, huggingface.DecoderPrefix)
	if h.TiedHead = p.tiesHead(huggingface.DecoderHead, huggingface.DecoderEmbedding, tie); p.err != nil {
		return h, nil
	}
	computed, err := frequencies(h)
	if err != nil {
		return nil, err
	}
	for t := range h.Tensors() {
		if p.add(weight{Tensor: t, place: huggingface.Decoder(h, f.fused, t), computed: computed[t.Name]}); p.err != nil {
			return h, nil
		}
	}
	for i := range h.Layers {
		p.ignore(fmt.Sprintf("layers.%d.self_attn.rotary_emb.inv_freq", i)) // kept as a buffer by old versions
	}
	p.weigh(h)
	return h, nil
}

// hyperparameters reads the configuration. The errors stay in c.
func (f decoder) hyperparameters(c *config) *architecture.Decoder {
	d := f.defaults
	c.absent(decoderUnsupported...)
	h := &architecture.Decoder{
		Family:     f.name,
		Vocabulary: c.size("vocab_size", d.vocabulary),
		Context:    c.size("max_position_embeddings", d.context),
		Embedding:  c.size("hidden_size", d.embedding),
		Heads:      c.size("num_attention_heads", d.heads),
		Hidden:     c.size("intermediate_size", d.hidden),
		Epsilon:    c.positive("rms_norm_eps", d.epsilon),

		InputNorms: true, QueryKeyNorm: architecture.NoNorm,
		EmbeddingMultiplier: 1, ResidualMultiplier: 1, LogitDivisor: 1,
	}
	h.KVHeads = h.Heads
	if d.kvHeads != 0 && !c.null("num_key_value_heads") {
		h.KVHeads = d.kvHeads
	}
	h.KVHeads = c.size("num_key_value_heads", h.KVHeads)
	if h.HeadWidth = d.headWidth; h.HeadWidth == 0 {
		if h.HeadWidth = h.Embedding / h.Heads; h.Embedding%h.Heads != 0 && !c.has("head_dim") {
			c.fail("hidden_size", "%d is not a multiple of num_attention_heads %d", h.Embedding, h.Heads)
		}
	}
	h.HeadWidth = c.size("head_dim", h.HeadWidth)
	h.AttentionMultiplier = 1 / math.Sqrt(float64(h.HeadWidth))
	f.activation(c, h)
	layers := c.size("num_hidden_layers", d.layers)
	if layers > architecture.MaxLayers {
		c.fail("num_hidden_layers", "%d, at most %d are supported", layers, architecture.MaxLayers)
		layers = 1
	}
	h.Layers = make([]architecture.DecoderLayer, layers)
	first := 0
	for i := range h.Layers {
		h.Layers[i].Rotary = &first
	}
	eos, bos := c.token("eos_token_id", optional(d.eos)), c.token("bos_token_id", optional(d.bos))
	h.EOS, h.BOS = knownToken(eos, h.Vocabulary), knownToken(bos, h.Vocabulary)
	h.Rotary = []architecture.Rotary{readRotary(c, h, f.ropeKind, ropeUsual{d.base, d.originalContext, f.ropeAliases})}
	f.read(c, h)
	return h
}

// optional returns a default token, nil for -1.
func optional(id int) *int {
	if id < 0 {
		return nil
	}
	return &id
}

// activation reads the function of the gates.
func (f decoder) activation(c *config, h *architecture.Decoder) {
	field := cmp.Or(f.activationField, "hidden_act")
	name := c.text(field, cmp.Or(f.defaults.activation, "silu"))
	if h.Activation = decoderActivations[name]; h.Activation == "" {
		c.fail(field, "%.60q is not supported (supported: silu, swish, gelu_pytorch_tanh, gelu_new, gelu, relu)", name)
	}
}

func (f decoder) export(hyperparameters architecture.Hyperparameters, dtype string) (exported, error) {
	h := hyperparameters.(*architecture.Decoder)
	fields := map[string]any{
		"architectures": f.classes()[:1], "model_type": f.name, "torch_dtype": dtype,
		"vocab_size": h.Vocabulary, "max_position_embeddings": h.Context, "hidden_size": h.Embedding, "num_hidden_layers": len(h.Layers),
		"num_attention_heads": h.Heads, "num_key_value_heads": h.KVHeads, "head_dim": h.HeadWidth, "intermediate_size": h.Hidden,
		"rms_norm_eps": h.Epsilon, "bos_token_id": h.BOS, "eos_token_id": h.EOS, "tie_word_embeddings": h.TiedHead,
		"hidden_act": exportedActivations[h.Activation],
	}
	if len(h.Rotary) > 0 {
		source, err := ropeSource(h.Rotary[0])
		if err != nil {
			return exported{}, fmt.Errorf("hyperparameters: rotary 0: source: %w", err)
		}
		source.write(fields)
	}
	f.write(h, fields)
	return exported{
		config: fields,
		place: func(t architecture.Tensor) huggingface.Place {
			place := huggingface.Decoder(h, f.fused, t)
			for i := range place.Parts {
				if t.Role != architecture.Head {
					place.Parts[i].Name = huggingface.DecoderPrefix + place.Parts[i].Name
				}
			}
			return place
		},
		context: h.Context, eos: h.EOS, bos: h.BOS,
	}, nil
}

// exportedActivations are the names in config.json of those in the file.
var exportedActivations = map[architecture.Activation]string{
	architecture.SiLU: "silu", architecture.GELUTanh: "gelu_pytorch_tanh", architecture.GELU: "gelu", architecture.ReLU: "relu",
}

// mustMarshal returns the JSON text of what was JSON before.
func mustMarshal(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
