package synthetic

import (
	"cmp"
	"math"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/convert/safetensors"
	"github.com/tti-llm/tti/format/architecture"
)

// Model is the shape of a GPT-2 and how its directory is written. The zero values of the fields
// after Heads mean what most models have.
type Model struct {
	Vocabulary int // tokens, at least 257: all bytes and <|endoftext|>
	Context    int
	Embedding  int
	Layers     int
	Heads      int

	Hidden int              // width of the MLP; 0: 4 * Embedding
	Type   safetensors.Type // empty: F32
	Shards int              // files of weights; 0: a single model.safetensors
	Prefix string           // before every name but lm_head.weight, such as "transformer."
	Untied bool             // an lm_head.weight of its own
	Seed   uint64
}

func (m Model) directory() (directory, error) {
	return directory{m.configuration(), m.Vocabulary, m.tensors(), cmp.Or(m.Type, safetensors.F32), m.Shards, m.Seed}, m.hyperparameters().Validate()
}

func (m Model) hyperparameters() *architecture.GPT2 {
	hidden := m.Hidden
	if hidden == 0 {
		hidden = 4 * m.Embedding
	}
	return &architecture.GPT2{
		Vocabulary: m.Vocabulary, Context: m.Context, Embedding: m.Embedding, Layers: m.Layers, Heads: m.Heads, Hidden: hidden,
		Activation: architecture.GELUTanh, TiedHead: !m.Untied,
	}
}

func (m Model) configuration() map[string]any {
	configuration := map[string]any{
		"architectures":       []string{"GPT2LMHeadModel"},
		"model_type":          "gpt2",
		"activation_function": "gelu_new",
		"vocab_size":          m.Vocabulary,
		"n_ctx":               m.Context,
		"n_positions":         m.Context,
		"n_embd":              m.Embedding,
		"n_layer":             m.Layers,
		"n_head":              m.Heads,
		"n_inner":             nil,
		"layer_norm_epsilon":  1e-5,
		"bos_token_id":        m.Vocabulary - 1,
		"eos_token_id":        m.Vocabulary - 1,
		"tie_word_embeddings": !m.Untied,
	}
	if m.Hidden > 0 {
		configuration["n_inner"] = m.Hidden
	}
	return configuration
}

// tensors lists the weights of a model. Deviations are those GPT-2 is initialized with; biases and
// gains, there 0 and 1, vary too, so that none can be left out unnoticed.
func (m Model) tensors() []tensor {
	var list []tensor
	for t := range m.hyperparameters().Tensors() {
		place := huggingface.GPT2(t)
		w := tensor{name: place.Parts[0].Name, plain: place.Parts[0].Name, shape: place.Shape(t, place.Parts[0]), deviation: 0.02}
		if t.Role != architecture.Head {
			w.name = m.Prefix + w.name
		}
		switch t.Role {
		case architecture.AttentionNorm, architecture.MLPNorm, architecture.FinalNorm:
			if !t.Bias {
				w.mean = 1
			}
		case architecture.AttentionOutput, architecture.Down: // what is added to the residual stream
			if !t.Bias {
				w.deviation /= math.Sqrt(float64(2 * m.Layers))
			}
		}
		list = append(list, w)
	}
	return list
}
