// Package synthetic writes GPT-2 model directories with random weights, laid out as HuggingFace
// does: for benchmarks and tests that need a model's size but not its sense. The same Model always
// gives the same bytes. Nothing here is a trained model, and none is read.
//
// Start reading at Write; weights.go fills the tensors, vocabulary.go makes up the tokens.
package synthetic

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

// Models are the usual sizes by name: 124 and 82 million parameters.
var Models = map[string]Model{
	"gpt2":       {Vocabulary: 50257, Context: 1024, Embedding: 768, Layers: 12, Heads: 12},
	"distilgpt2": {Vocabulary: 50257, Context: 1024, Embedding: 768, Layers: 6, Heads: 12},
}

// Write fills directory, which must exist, with the model: config.json, the weights, vocab.json and
// merges.txt. Files of these names are replaced.
func Write(ctx context.Context, directory string, m Model) error {
	if err := m.hyperparameters().Validate(); err != nil || m.Vocabulary < byteTokens+1 {
		return fmt.Errorf("synthetic model %+v makes no sense: %w", m, cmp.Or(err, errors.New("there must be a token for each byte, and one more")))
	}
	if err := writeJSON(filepath.Join(directory, "config.json"), m.configuration()); err != nil {
		return err
	}
	if err := writeVocabulary(directory, m.Vocabulary); err != nil {
		return err
	}
	return writeWeights(ctx, directory, m)
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

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o666)
}
