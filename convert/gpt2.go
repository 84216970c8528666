package convert

import (
	"fmt"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/format/architecture"
)

// gpt2 converts GPT-2 (Radford et al., 2019) as the transformers library defines it: names, defaults
// and the meaning of every field of config.json are those of its GPT2Config.
type gpt2 struct{}

func (gpt2) modelType() string { return "gpt2" }
func (gpt2) classes() []string { return []string{"GPT2LMHeadModel", "GPT2Model"} }

// gpt2Activations maps the names of config.json to those of the file.
var gpt2Activations = map[string]architecture.Activation{
	"gelu_new":          architecture.GELUTanh,
	"gelu_pytorch_tanh": architecture.GELUTanh, // the same formula, computed by another library
	"gelu":              architecture.GELU,
	"relu":              architecture.ReLU,
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

func (gpt2) plan(c *config, p *planner) (architecture.Hyperparameters, error) {
	for name, alias := range gpt2Aliases {
		if !c.has(name) && c.has(alias) {
			c.fields[name] = c.fields[alias]
		}
	}
	usual := 50256
	eos, bos := c.token("eos_token_id", &usual), c.token("bos_token_id", &usual)
	h := &architecture.GPT2{
		Vocabulary:     c.size("vocab_size", 50257),
		Context:        c.size("n_positions", c.size("n_ctx", 1024)), // n_ctx is its name in old files
		Embedding:      c.size("n_embd", 768),
		Layers:         c.size("n_layer", 12),
		Heads:          c.size("n_head", 12),
		Epsilon:        c.positive("layer_norm_epsilon", 1e-5),
		ScaleAttention: c.boolean("scale_attn_weights", true),
		ScaleByLayer:   c.boolean("scale_attn_by_inverse_layer_idx", false),
	}
	h.EOS, h.BOS = knownToken(eos, h.Vocabulary), knownToken(bos, h.Vocabulary)
	h.Hidden = c.size("n_inner", 4*h.Embedding)
	tie := c.boolean("tie_word_embeddings", true)
	activation := c.text("activation_function", "gelu_new")
	if c.err != nil {
		return nil, c.err
	}
	h.Activation = gpt2Activations[activation]
	if h.Activation == "" {
		return nil, fmt.Errorf("activation_function: %.60q is not supported (supported: gelu_new, gelu_pytorch_tanh, gelu, relu)", activation)
	}
	if c.absent(gpt2Unsupported...); c.err != nil {
		return nil, c.err
	}
	if err := h.Validate(); err != nil {
		return nil, err
	}
	p.tokenizer = tokenizerOptions(h.Vocabulary, h.EOS, h.BOS)
	p.prefixes = []string{huggingface.GPT2Prefix, ""}
	h.TiedHead = p.tiesHead(gpt2Head, "wte.weight", tie)
	for t := range h.Tensors() {
		if p.add(weight{Tensor: t, place: huggingface.GPT2(t)}); p.err != nil {
			return h, nil
		}
	}
	for layer := range h.Layers {
		p.ignore(fmt.Sprintf("h.%d.attn.bias", layer), fmt.Sprintf("h.%d.attn.masked_bias", layer)) // the causal mask, kept as a buffer
	}
	p.weigh(h)
	return h, nil
}

const gpt2Head = "lm_head.weight"

// gpt2Configuration is config.json as GPT2Config of transformers has it, as far as it matters when
// the model runs.
type gpt2Config struct {
	Architectures  []string `json:"architectures"`
	ModelType      string   `json:"model_type"`
	Activation     string   `json:"activation_function"`
	Vocabulary     int      `json:"vocab_size"`
	Positions      int      `json:"n_positions"`
	Context        int      `json:"n_ctx"` // what old versions of transformers read
	Embedding      int      `json:"n_embd"`
	Layers         int      `json:"n_layer"`
	Heads          int      `json:"n_head"`
	Hidden         int      `json:"n_inner"`
	Epsilon        float64  `json:"layer_norm_epsilon"`
	ScaleAttention bool     `json:"scale_attn_weights"`
	ScaleByLayer   bool     `json:"scale_attn_by_inverse_layer_idx"`
	BOS            *int32   `json:"bos_token_id"`
	EOS            *int32   `json:"eos_token_id"`
	TiedHead       bool     `json:"tie_word_embeddings"`
	DType          string   `json:"torch_dtype"`
}

func (g gpt2) export(hyperparameters architecture.Hyperparameters, dtype string) (exported, error) {
	h := hyperparameters.(*architecture.GPT2)
	return exported{
		config: gpt2Config{
			Architectures: g.classes()[:1], ModelType: g.modelType(), Activation: string(h.Activation),
			Vocabulary: h.Vocabulary, Positions: h.Context, Context: h.Context, Embedding: h.Embedding,
			Layers: h.Layers, Heads: h.Heads, Hidden: h.Hidden, Epsilon: h.Epsilon,
			ScaleAttention: h.ScaleAttention, ScaleByLayer: h.ScaleByLayer,
			BOS: h.BOS, EOS: h.EOS, TiedHead: h.TiedHead, DType: dtype,
		},
		place: func(t architecture.Tensor) huggingface.Place {
			place := huggingface.GPT2(t)
			if t.Role != architecture.Head {
				place.Parts[0].Name = huggingface.GPT2Prefix + place.Parts[0].Name
			}
			return place
		},
		context: h.Context, eos: h.EOS, bos: h.BOS,
	}, nil
}
