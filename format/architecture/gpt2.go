package architecture

import (
	"fmt"
	"iter"
	"slices"

	"github.com/tti-llm/tti/format"
)

// GPT2Name is the name of the architecture in the meta section.
const GPT2Name = "gpt2"

// GPT2 are the hyper-parameters of A. Radford et al., "Language Models are Unsupervised Multitask Learners"
// (2019). Tensors have HuggingFace's names.
type GPT2 struct {
	Vocabulary     int        `json:"vocab_size"`
	Context        int        `json:"n_ctx"` // positions
	Embedding      int        `json:"n_embd"`
	Layers         int        `json:"n_layer"`
	Heads          int        `json:"n_head"`
	Hidden         int        `json:"n_inner"` // width of the feed-forward block
	Activation     Activation `json:"activation"`
	Epsilon        float64    `json:"layer_norm_epsilon"`
	ScaleAttention bool       `json:"scale_attn_weights"`              // scores by the root of the head's width
	ScaleByLayer   bool       `json:"scale_attn_by_inverse_layer_idx"` // and by the layer's number, from 1 on
	TiedHead       bool       `json:"tied_head"`
	EOS            *int32     `json:"eos_token_id"` // ends a text; nil: the model has none
	BOS            *int32     `json:"bos_token_id"` // begins a text; nil: the model has none
}

// Activation is the name of the function between the matrices of the feed-forward block.
type Activation string

const (
	GELUTanh Activation = "gelu_new" // the approximation by tanh
	GELU     Activation = "gelu"
	ReLU     Activation = "relu"
)

var activations = []Activation{GELUTanh, GELU, ReLU}

// Validate implements Hyperparameters.
func (h *GPT2) Validate() error {
	if err := checkSizes(size{"vocab_size", h.Vocabulary}, size{"n_ctx", h.Context}, size{"n_embd", h.Embedding},
		size{"n_layer", h.Layers}, size{"n_head", h.Heads}, size{"n_inner", h.Hidden}); err != nil {
		return err
	}
	if h.Embedding%h.Heads != 0 {
		return fmt.Errorf("n_embd %d is not a multiple of n_head %d", h.Embedding, h.Heads)
	}
	if !slices.Contains(activations, h.Activation) {
		return fmt.Errorf("%w: activation %.60q", format.ErrUnsupported, h.Activation)
	}
	return nil
}

// Architecture implements Hyperparameters.
func (h *GPT2) Architecture() string { return GPT2Name }

// Contexts implements Hyperparameters.
func (h *GPT2) Contexts() (usual, longest int) { return h.Context, h.Context }

// Tied implements Hyperparameters.
func (h *GPT2) Tied() bool { return h.TiedHead }

// SpecialTokens implements Hyperparameters.
func (h *GPT2) SpecialTokens() (eos, bos int32) {
	return token(h.EOS, h.Vocabulary), token(h.BOS, h.Vocabulary)
}

// gpt2Layer are the tensors of a layer: their names after "h.N.", whether there is a bias beside the weight, and the
// shape of the weight, of which a bias has the first dimension.
var gpt2Layer = []struct {
	name  string
	role  Role
	shape func(h *GPT2) []int
}{
	{"ln_1", AttentionNorm, func(h *GPT2) []int { return []int{h.Embedding} }},
	{"attn.c_attn", QKV, func(h *GPT2) []int { return []int{3 * h.Embedding, h.Embedding} }},
	{"attn.c_proj", AttentionOutput, func(h *GPT2) []int { return []int{h.Embedding, h.Embedding} }},
	{"ln_2", MLPNorm, func(h *GPT2) []int { return []int{h.Embedding} }},
	{"mlp.c_fc", Up, func(h *GPT2) []int { return []int{h.Hidden, h.Embedding} }},
	{"mlp.c_proj", Down, func(h *GPT2) []int { return []int{h.Embedding, h.Hidden} }},
}

// Tensors implements Hyperparameters.
func (h *GPT2) Tensors() iter.Seq[Tensor] {
	return func(yield func(Tensor) bool) {
		// pair yields a weight and its bias.
		pair := func(name string, layer int, role Role, shape ...int) bool {
			return yield(Tensor{Name: name + ".weight", Layer: layer, Role: role, Shape: shape}) &&
				yield(Tensor{Name: name + ".bias", Layer: layer, Role: role, Bias: true, Shape: shape[:1:1]})
		}
		if !yield(Tensor{Name: "wte.weight", Layer: -1, Role: TokenEmbedding, Shape: []int{h.Vocabulary, h.Embedding}}) ||
			!yield(Tensor{Name: "wpe.weight", Layer: -1, Role: PositionEmbedding, Shape: []int{h.Context, h.Embedding}}) {
			return
		}
		for i := range h.Layers {
			for _, t := range gpt2Layer {
				if !pair(fmt.Sprintf("h.%d.%s", i, t.name), i, t.role, t.shape(h)...) {
					return
				}
			}
		}
		if pair("ln_f", -1, FinalNorm, h.Embedding) && !h.TiedHead {
			yield(Tensor{Name: "lm_head.weight", Layer: -1, Role: Head, Shape: []int{h.Vocabulary, h.Embedding}})
		}
	}
}
