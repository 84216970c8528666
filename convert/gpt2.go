package convert

import (
	"bytes"
	"fmt"

	"github.com/tti-llm/tti/convert/bpe"
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
	h := gpt2Hyperparameters{
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
	p.prefixes = []string{"transformer.", ""}
	n := h.Embedding
	p.matrix("wte.weight", embedding, h.Vocabulary, n)
	p.vector("wpe.weight", h.Positions, n)
	for layer := 0; layer < h.Layers && p.err == nil; layer++ {
		block := fmt.Sprintf("h.%d.", layer)
		p.vector(block+"ln_1.weight", n)
		p.vector(block+"ln_1.bias", n)
		p.transposed(block+"attn.c_attn.weight", attention, 3*n, n)
		p.vector(block+"attn.c_attn.bias", 3*n)
		p.transposed(block+"attn.c_proj.weight", attention, n, n)
		p.vector(block+"attn.c_proj.bias", n)
		p.vector(block+"ln_2.weight", n)
		p.vector(block+"ln_2.bias", n)
		p.transposed(block+"mlp.c_fc.weight", mlp, h.Inner, n)
		p.vector(block+"mlp.c_fc.bias", h.Inner)
		p.transposed(block+"mlp.c_proj.weight", mlp, n, h.Inner)
		p.vector(block+"mlp.c_proj.bias", n)
		p.ignore(block+"attn.bias", block+"attn.masked_bias") // the causal mask, kept as a buffer
	}
	p.vector("ln_f.weight", n)
	p.vector("ln_f.bias", n)

	// The weights decide whether the head is tied, for that is what was trained: a head of its own
	// is stored even where the configuration would replace it by the embedding.
	head, ok := p.find("lm_head.weight")
	if !ok && !tie {
		return nil, fmt.Errorf("tie_word_embeddings is false, but tensor lm_head.weight is missing")
	}
	wte, _ := p.find("wte.weight")
	h.TiedHead = !ok || p.err == nil && head.dtype == wte.dtype && bytes.Equal(head.data, wte.data)
	if h.TiedHead {
		p.ignore("lm_head.weight")
	} else {
		p.matrix("lm_head.weight", embedding, h.Vocabulary, n)
	}
	return h, nil
}
