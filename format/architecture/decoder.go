package architecture

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/tti-llm/tti/format"
)

// DecoderName is the name of the architecture in the meta section.
const DecoderName = "decoder"

// Decoder are the hyper-parameters of the decoders that follow Llama (H. Touvron et al., "LLaMA: Open and Efficient
// Foundation Language Models", 2023): RMS norms, rotary embedding, gated feed-forward blocks, query heads that share key
// and value heads. Where families differ, a hyper-parameter says how.
type Decoder struct {
	Family     string         `json:"family"` // its name where the model came from; nothing is computed by it
	Vocabulary int            `json:"vocab_size"`
	Context    int            `json:"context"`   // positions
	Embedding  int            `json:"embedding"` // width of the residual stream
	Heads      int            `json:"heads"`     // query heads of a layer
	KVHeads    int            `json:"kv_heads"`  // key and value heads of a layer
	HeadWidth  int            `json:"head_width"`
	Hidden     int            `json:"hidden"` // width of the feed-forward block
	Layers     []DecoderLayer `json:"layers"`
	Rotary     []Rotary       `json:"rotary"` // the rotary embeddings that layers choose from
	Activation Activation     `json:"activation"`

	Epsilon      float64      `json:"rms_norm_epsilon"`
	NormOffset   float64      `json:"norm_offset"`    // added to the weights of all norms
	InputNorms   bool         `json:"input_norms"`    // of what goes into the branches
	OutputNorms  bool         `json:"output_norms"`   // of what comes out of the branches
	QueryKeyNorm QueryKeyNorm `json:"query_key_norm"` // of queries and keys, before they are rotated

	QKVBias    bool `json:"qkv_bias"`
	OutputBias bool `json:"output_bias"` // of the attention's output
	MLPBias    bool `json:"mlp_bias"`    // of all three matrices

	EmbeddingMultiplier float64 `json:"embedding_multiplier"`
	AttentionMultiplier float64 `json:"attention_multiplier"` // of scores
	AttentionCap        float64 `json:"attention_cap"`        // of scores, c tanh(score / c); 0: none
	ResidualMultiplier  float64 `json:"residual_multiplier"`  // of what a branch adds
	LogitDivisor        float64 `json:"logit_divisor"`
	LogitCap            float64 `json:"logit_cap"` // as of scores, after the division; 0: none

	TiedHead bool   `json:"tied_head"`
	EOS      *int32 `json:"eos_token_id"` // ends a text; nil: the model has none
	BOS      *int32 `json:"bos_token_id"` // begins a text; nil: the model has none
}

// DecoderLayer is what layers may differ in.
type DecoderLayer struct {
	Window int  `json:"window"` // how many positions a query sees, its own included; 0: all up to its own
	Rotary *int `json:"rotary"` // number of its rotary embedding; nil: none
}

// Rotary is a rotary embedding of J. Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021).
// Its frequencies are tensors.
type Rotary struct {
	Width int     `json:"width"` // of each head the first dimensions, an even number, which are rotated in pairs half of it apart
	Scale float64 `json:"scale"` // of cosines and sines
	// ShortContext is for how many positions the frequencies are, if there are others for longer contexts; 0: for all.
	ShortContext int `json:"short_context"`
	// Source is what the model's configuration says of it, for whoever converts the model back.
	Source json.RawMessage `json:"source"`
}

// QueryKeyNorm says which norms queries and keys have.
type QueryKeyNorm string

const (
	NoNorm  QueryKeyNorm = "none"
	PerHead QueryKeyNorm = "head" // each head by itself, all with the same weights
	AllOf   QueryKeyNorm = "all"  // all query heads together, and all key heads
)

// SiLU is x / (1 + e^-x).
const SiLU Activation = "silu"

var (
	gateActivations = []Activation{SiLU, GELUTanh, GELU, ReLU}
	queryKeyNorms   = []QueryKeyNorm{NoNorm, PerHead, AllOf}
)

// MaxLayers bounds the layers of a Decoder. The deepest models in use have some 130.
const MaxLayers = 1024

// maxRotary bounds the rotary embeddings of a Decoder: a pass has memory for the rotations of each. No model has more than
// two.
const maxRotary = 8

// Validate implements Hyperparameters.
func (h *Decoder) Validate() error {
	if err := checkSizes(size{"vocab_size", h.Vocabulary}, size{"context", h.Context}, size{"embedding", h.Embedding},
		size{"heads", h.Heads}, size{"kv_heads", h.KVHeads}, size{"head_width", h.HeadWidth}, size{"hidden", h.Hidden}); err != nil {
		return err
	}
	switch {
	case len(h.Layers) < 1 || len(h.Layers) > MaxLayers:
		return fmt.Errorf("layers are %d, want 1 to %d", len(h.Layers), MaxLayers)
	case h.Heads%h.KVHeads != 0:
		return fmt.Errorf("heads %d are not a multiple of kv_heads %d", h.Heads, h.KVHeads)
	case h.Heads > (math.MaxInt32/h.HeadWidth-2*h.KVHeads) || h.KVHeads > math.MaxInt32/2/h.HeadWidth:
		return fmt.Errorf("heads %d and kv_heads %d of head_width %d are too many", h.Heads, h.KVHeads, h.HeadWidth)
	case h.Hidden > math.MaxInt32/2:
		return fmt.Errorf("hidden is %d", h.Hidden)
	case !slices.Contains(gateActivations, h.Activation):
		return fmt.Errorf("%w: activation %.60q", format.ErrUnsupported, h.Activation)
	case !slices.Contains(queryKeyNorms, h.QueryKeyNorm):
		return fmt.Errorf("%w: query_key_norm %.60q", format.ErrUnsupported, h.QueryKeyNorm)
	}
	for _, n := range []struct {
		name     string
		value    float64
		zero     bool // may be zero
		negative bool // may be below zero
	}{
		{"rms_norm_epsilon", h.Epsilon, false, false}, {"norm_offset", h.NormOffset, true, true},
		{"embedding_multiplier", h.EmbeddingMultiplier, false, true}, {"attention_multiplier", h.AttentionMultiplier, false, true},
		{"attention_cap", h.AttentionCap, true, false}, {"residual_multiplier", h.ResidualMultiplier, false, true},
		{"logit_divisor", h.LogitDivisor, false, true}, {"logit_cap", h.LogitCap, true, false},
	} {
		if x := float32(n.value); math.IsInf(float64(x), 0) || x != x || x == 0 && !(n.zero && n.value == 0) || x < 0 && !n.negative {
			return fmt.Errorf("%s is %v", n.name, n.value)
		}
	}
	return h.validateRotary()
}

func (h *Decoder) validateRotary() error {
	if len(h.Rotary) > maxRotary {
		return fmt.Errorf("rotary has %d entries, want at most %d", len(h.Rotary), maxRotary)
	}
	for i, r := range h.Rotary {
		switch {
		case r.Width < 2 || r.Width%2 != 0 || r.Width > h.HeadWidth:
			return fmt.Errorf("rotary %d: width is %d, want an even number up to head_width %d", i, r.Width, h.HeadWidth)
		case !(float32(r.Scale) > 0) || math.IsInf(float64(float32(r.Scale)), 0):
			return fmt.Errorf("rotary %d: scale is %v", i, r.Scale)
		case r.ShortContext < 0 || r.ShortContext > h.Context:
			return fmt.Errorf("rotary %d: short_context is %d of %d positions", i, r.ShortContext, h.Context)
		}
	}
	for i, l := range h.Layers {
		switch {
		case l.Window < 0 || l.Window > math.MaxInt32:
			return fmt.Errorf("layer %d: window is %d", i, l.Window)
		case l.Rotary != nil && (*l.Rotary < 0 || *l.Rotary >= len(h.Rotary)):
			return fmt.Errorf("layer %d: rotary is %d of %d", i, *l.Rotary, len(h.Rotary))
		}
	}
	return nil
}

// Architecture implements Hyperparameters.
func (h *Decoder) Architecture() string { return DecoderName }

// Tied implements Hyperparameters.
func (h *Decoder) Tied() bool { return h.TiedHead }

// SpecialTokens implements Hyperparameters.
func (h *Decoder) SpecialTokens() (eos, bos int32) {
	return token(h.EOS, h.Vocabulary), token(h.BOS, h.Vocabulary)
}

// Contexts implements Hyperparameters. Where there are other frequencies for long contexts, the model is usually for short
// ones: the frequencies are chosen once, for they decide about all keys from the first one on.
func (h *Decoder) Contexts() (usual, longest int) {
	usual = h.Context
	for _, r := range h.Rotary {
		if r.ShortContext > 0 {
			usual = min(usual, r.ShortContext)
		}
	}
	return usual, h.Context
}

// decoderLayer are the tensors of a layer: their names after "layer.N.", the hyper-parameters that ask for them, nil
// where all models have them, and their shape.
var decoderLayer = []struct {
	name  string
	role  Role
	bias  bool
	exist func(h *Decoder) bool
	shape func(h *Decoder) []int
}{
	{"attention.norm.weight", AttentionNorm, false, (*Decoder).inputNorms, (*Decoder).row},
	{"attention.qkv.weight", QKV, false, nil, func(h *Decoder) []int { return []int{(h.Heads + 2*h.KVHeads) * h.HeadWidth, h.Embedding} }},
	{"attention.qkv.bias", QKV, true, func(h *Decoder) bool { return h.QKVBias }, func(h *Decoder) []int { return []int{(h.Heads + 2*h.KVHeads) * h.HeadWidth} }},
	{"attention.query_norm.weight", QueryNorm, false, (*Decoder).queryKeyNorms, func(h *Decoder) []int { return h.normed(h.Heads) }},
	{"attention.key_norm.weight", KeyNorm, false, (*Decoder).queryKeyNorms, func(h *Decoder) []int { return h.normed(h.KVHeads) }},
	{"attention.output.weight", AttentionOutput, false, nil, func(h *Decoder) []int { return []int{h.Embedding, h.Heads * h.HeadWidth} }},
	{"attention.output.bias", AttentionOutput, true, func(h *Decoder) bool { return h.OutputBias }, (*Decoder).row},
	{"attention.output_norm.weight", AttentionOutputNorm, false, (*Decoder).outputNorms, (*Decoder).row},
	{"mlp.norm.weight", MLPNorm, false, (*Decoder).inputNorms, (*Decoder).row},
	{"mlp.gate_up.weight", Up, false, nil, func(h *Decoder) []int { return []int{2 * h.Hidden, h.Embedding} }},
	{"mlp.gate_up.bias", Up, true, (*Decoder).mlpBias, func(h *Decoder) []int { return []int{2 * h.Hidden} }},
	{"mlp.down.weight", Down, false, nil, func(h *Decoder) []int { return []int{h.Embedding, h.Hidden} }},
	{"mlp.down.bias", Down, true, (*Decoder).mlpBias, (*Decoder).row},
	{"mlp.output_norm.weight", MLPOutputNorm, false, (*Decoder).outputNorms, (*Decoder).row},
}

func (h *Decoder) inputNorms() bool    { return h.InputNorms }
func (h *Decoder) outputNorms() bool   { return h.OutputNorms }
func (h *Decoder) queryKeyNorms() bool { return h.QueryKeyNorm != NoNorm }
func (h *Decoder) mlpBias() bool       { return h.MLPBias }
func (h *Decoder) row() []int          { return []int{h.Embedding} }

// normed is the shape of a norm of that many heads' queries or keys.
func (h *Decoder) normed(heads int) []int {
	if h.QueryKeyNorm == PerHead {
		heads = 1
	}
	return []int{heads * h.HeadWidth}
}

// Tensors implements Hyperparameters.
func (h *Decoder) Tensors() iter.Seq[Tensor] {
	return func(yield func(Tensor) bool) {
		if !yield(Tensor{Name: "token_embedding.weight", Layer: -1, Role: TokenEmbedding, Shape: []int{h.Vocabulary, h.Embedding}}) {
			return
		}
		for i, r := range h.Rotary {
			if !yield(Tensor{Name: fmt.Sprintf("rotary.%d.frequencies", i), Layer: -1, Number: i, Role: Frequencies, Shape: []int{r.Width / 2}}) {
				return
			}
			if r.ShortContext > 0 && !yield(Tensor{Name: fmt.Sprintf("rotary.%d.long_frequencies", i), Layer: -1, Number: i, Role: LongFrequencies, Shape: []int{r.Width / 2}}) {
				return
			}
		}
		for i := range h.Layers {
			for _, t := range decoderLayer {
				if (t.exist == nil || t.exist(h)) && !yield(Tensor{Name: fmt.Sprintf("layer.%d.%s", i, t.name), Layer: i, Role: t.role, Bias: t.bias, Shape: t.shape(h)}) {
					return
				}
			}
		}
		if yield(Tensor{Name: "norm.weight", Layer: -1, Role: FinalNorm, Shape: h.row()}) && !h.TiedHead {
			yield(Tensor{Name: "head.weight", Layer: -1, Role: Head, Shape: []int{h.Vocabulary, h.Embedding}})
		}
	}
}
