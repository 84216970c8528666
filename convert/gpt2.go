package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format/strictjson"
)

// gpt2 converts GPT-2 (Radford et al., 2019) as the transformers library defines it: names, defaults
// and the meaning of every field of config.json are those of its GPT2Config.
type gpt2 struct{}

func (gpt2) modelType() string { return "gpt2" }
func (gpt2) classes() []string { return []string{"GPT2LMHeadModel", "GPT2Model"} }

// gpt2Hyperparameters is what the runtime needs to know besides the weights.
type gpt2Hyperparameters struct {
	Vocabulary          int     `json:"vocab_size"`
	Positions           int     `json:"n_ctx"`
	Embedding           int     `json:"n_embd"`
	Layers              int     `json:"n_layer"`
	Heads               int     `json:"n_head"`
	Inner               int     `json:"n_inner"`
	Activation          string  `json:"activation"`
	Epsilon             float64 `json:"layer_norm_epsilon"`
	ScaleAttention      bool    `json:"scale_attn_weights"`
	ScaleByInverseLayer bool    `json:"scale_attn_by_inverse_layer_idx"`
	TiedHead            bool    `json:"tied_head"`
	EndOfText           *int    `json:"eos_token_id"` // null: the model has none
	BeginningOfText     *int    `json:"bos_token_id"`
}

// gpt2Activations maps the names of config.json to those of the file.
var gpt2Activations = map[string]string{
	"gelu_new":          "gelu_new",
	"gelu_pytorch_tanh": "gelu_new", // the same formula, computed by another library
	"gelu":              "gelu",
	"relu":              "relu",
}

// gpt2Unsupported are fields that change the arithmetic or the tensors when they are set.
// reorder_and_upcast_attn is not among them: it asks for float32 where half precision would lose
// accuracy in attention, which this project's attention has always.
var gpt2Unsupported = []string{"add_cross_attention", "pruned_heads", "quantization_config"}

// gpt2Aliases are the names that GPT2Config accepts in place of its own.
var gpt2Aliases = map[string]string{
	"n_positions": "max_position_embeddings",
	"n_embd":      "hidden_size",
	"n_layer":     "num_hidden_layers",
	"n_head":      "num_attention_heads",
}

func (gpt2) plan(c *configuration, p *planner) (any, error) {
	for name, alias := range gpt2Aliases {
		if !c.has(name) && c.has(alias) {
			c.fields[name] = c.fields[alias]
		}
	}
	endOfText := 50256
	h := &gpt2Hyperparameters{
		Vocabulary:          c.size("vocab_size", 50257),
		Positions:           c.size("n_positions", c.size("n_ctx", 1024)), // n_ctx is its name in old files
		Embedding:           c.size("n_embd", 768),
		Layers:              c.size("n_layer", 12),
		Heads:               c.size("n_head", 12),
		Epsilon:             c.positive("layer_norm_epsilon", 1e-5),
		ScaleAttention:      c.boolean("scale_attn_weights", true),
		ScaleByInverseLayer: c.boolean("scale_attn_by_inverse_layer_idx", false),
		EndOfText:           c.token("eos_token_id", &endOfText),
		BeginningOfText:     c.token("bos_token_id", &endOfText),
	}
	h.Inner = c.size("n_inner", 4*h.Embedding)
	tie := c.boolean("tie_word_embeddings", true)
	activation := c.text("activation_function", "gelu_new")
	if c.err != nil {
		return nil, c.err
	}
	h.Activation = gpt2Activations[activation]
	if h.Activation == "" {
		return nil, fmt.Errorf("activation_function: %.60q is not supported (supported: gelu_new, gelu_pytorch_tanh, gelu, relu)", activation)
	}
	for _, name := range gpt2Unsupported {
		if !c.empty(name) {
			return nil, fmt.Errorf("%s: %.60q is not supported", name, c.fields[name])
		}
	}
	if h.Embedding%h.Heads != 0 {
		return nil, fmt.Errorf("n_embd %d is not a multiple of n_head %d", h.Embedding, h.Heads)
	}
	// A token outside the vocabulary, as left over by many that train their own, can never be
	// produced: it is none.
	for _, id := range []**int{&h.EndOfText, &h.BeginningOfText} {
		if *id != nil && (**id < 0 || **id >= h.Vocabulary) {
			*id = nil
		}
	}

	p.tokenizer = bpe.Options{Size: h.Vocabulary, EndOfText: h.EndOfText, BeginOfText: h.BeginningOfText}
	p.calibrate = h.calibrate
	p.prefixes = []string{gpt2Prefix, ""}
	for w := range h.weights() {
		if p.add(w); p.err != nil {
			break
		}
	}
	for layer := 0; layer < h.Layers && p.err == nil; layer++ {
		p.ignore(fmt.Sprintf("h.%d.attn.bias", layer), fmt.Sprintf("h.%d.attn.masked_bias", layer)) // the causal mask, kept as a buffer
	}

	// The weights decide whether the head is tied, for that is what was trained: a head of its own
	// is stored even where the configuration would replace it by the embedding.
	head, ok := p.find(gpt2Head)
	if !ok && !tie {
		return nil, fmt.Errorf("tie_word_embeddings is false, but tensor %s is missing", gpt2Head)
	}
	wte, _ := p.find("wte.weight")
	h.TiedHead = !ok || p.err == nil && head.dtype == wte.dtype && bytes.Equal(head.data, wte.data)
	if h.TiedHead {
		p.ignore(gpt2Head)
	} else {
		p.add(h.head())
	}
	if p.err == nil {
		h.weigh(p)
	}
	return h, nil
}

// Names of GPT2LMHeadModel, as transformers writes them: everything but the head has a prefix,
// which older files lack.
const (
	gpt2Prefix = "transformer."
	gpt2Head   = "lm_head.weight"
)

// weights lists all weights but that of a head of its own, in the order of the .tti file. They are
// as many as the hyperparameters say, be that ever so many: who walks through them stops at the first
// that is not there.
func (h *gpt2Hyperparameters) weights() iter.Seq[weight] {
	return func(yield func(weight) bool) {
		n := h.Embedding
		if !yield(matrixWeight("wte.weight", embedding, h.Vocabulary, n)) || !yield(vectorWeight("wpe.weight", h.Positions, n)) {
			return
		}
		for layer := range h.Layers {
			block := fmt.Sprintf("h.%d.", layer)
			for _, w := range []weight{
				vectorWeight(block+"ln_1.weight", n),
				vectorWeight(block+"ln_1.bias", n),
				transposedWeight(block+"attn.c_attn.weight", attention, 3*n, n),
				vectorWeight(block+"attn.c_attn.bias", 3*n),
				transposedWeight(block+"attn.c_proj.weight", attention, n, n),
				vectorWeight(block+"attn.c_proj.bias", n),
				vectorWeight(block+"ln_2.weight", n),
				vectorWeight(block+"ln_2.bias", n),
				transposedWeight(block+"mlp.c_fc.weight", mlp, h.Inner, n),
				vectorWeight(block+"mlp.c_fc.bias", h.Inner),
				transposedWeight(block+"mlp.c_proj.weight", mlp, n, h.Inner),
				vectorWeight(block+"mlp.c_proj.bias", n),
			} {
				if !yield(w) {
					return
				}
			}
		}
		_ = yield(vectorWeight("ln_f.weight", n)) && yield(vectorWeight("ln_f.bias", n))
	}
}

func (h *gpt2Hyperparameters) head() weight {
	return matrixWeight(gpt2Head, embedding, h.Vocabulary, h.Embedding)
}

// gpt2Configuration is config.json as GPT2Config of transformers has it, as far as it matters when
// the model runs.
type gpt2Configuration struct {
	Architectures       []string `json:"architectures"`
	ModelType           string   `json:"model_type"`
	Activation          string   `json:"activation_function"`
	Vocabulary          int      `json:"vocab_size"`
	Positions           int      `json:"n_positions"`
	Context             int      `json:"n_ctx"` // what old versions of transformers read
	Embedding           int      `json:"n_embd"`
	Layers              int      `json:"n_layer"`
	Heads               int      `json:"n_head"`
	Inner               int      `json:"n_inner"`
	Epsilon             float64  `json:"layer_norm_epsilon"`
	ScaleAttention      bool     `json:"scale_attn_weights"`
	ScaleByInverseLayer bool     `json:"scale_attn_by_inverse_layer_idx"`
	BeginningOfText     *int     `json:"bos_token_id"`
	EndOfText           *int     `json:"eos_token_id"`
	TiedHead            bool     `json:"tie_word_embeddings"`
	Elements            string   `json:"torch_dtype"`
}

func (g gpt2) export(hyperparameters json.RawMessage, elements string) (exported, error) {
	var h gpt2Hyperparameters
	if err := strictjson.Unmarshal(hyperparameters, &h); err != nil {
		return exported{}, fmt.Errorf("hyperparameters: %w", err)
	}
	return exported{
		configuration: gpt2Configuration{
			Architectures: g.classes()[:1], ModelType: g.modelType(), Activation: h.Activation,
			Vocabulary: h.Vocabulary, Positions: h.Positions, Context: h.Positions, Embedding: h.Embedding,
			Layers: h.Layers, Heads: h.Heads, Inner: h.Inner, Epsilon: h.Epsilon,
			ScaleAttention: h.ScaleAttention, ScaleByInverseLayer: h.ScaleByInverseLayer,
			BeginningOfText: h.BeginningOfText, EndOfText: h.EndOfText, TiedHead: h.TiedHead, Elements: elements,
		},
		weights: func(yield func(weight) bool) {
			for w := range h.weights() {
				if !yield(w) {
					return
				}
			}
			if !h.TiedHead {
				yield(h.head())
			}
		},
		sourceName: func(name string) string {
			if name == gpt2Head {
				return name
			}
			return gpt2Prefix + name
		},
		positions: h.Positions, endOfText: h.EndOfText, beginOfText: h.BeginningOfText,
	}, nil
}
