// Package synthetic writes model directories with random weights, laid out as HuggingFace
// does: for benchmarks and tests that need a model's size but not its sense. The same Shape always
// gives the same bytes. Nothing here is a trained model, and none is read.
//
// Start reading at Write; gpt2.go and decoder.go say what a model consists of, weights.go fills the tensors, vocabulary.go makes
// up the tokens.
package synthetic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tti-llm/tti/convert/safetensors"
)

// Shape is a model of some size: a Model or a Decoder.
type Shape interface {
	// directory says what the model's directory holds. It fails for sizes that make no sense.
	directory() (directory, error)
}

// directory is what a model directory holds.
type directory struct {
	config     map[string]any
	vocabulary int // tokens
	tensors    []tensor
	dtype      safetensors.Type
	shards     int // files of weights; 0: a single model.safetensors
	seed       uint64
}

// Models are models of usual sizes, by name.
var Models = map[string]Shape{
	"gpt2":       Model{Vocabulary: 50257, Context: 1024, Embedding: 768, Layers: 12, Heads: 12}, // 124 million parameters
	"distilgpt2": Model{Vocabulary: 50257, Context: 1024, Embedding: 768, Layers: 6, Heads: 12},  // 82 million

	"smollm2-135m": smolLM2,
	"qwen3-0.6b":   qwen3,
	"llama3.2-1b":  llama3,
	"gemma3-270m":  gemma3,
}

// Write fills folder, which must exist, with the model: config.json, the weights, vocab.json and
// merges.txt. Files of these names are replaced.
func Write(ctx context.Context, folder string, shape Shape) error {
	d, err := shape.directory()
	if err == nil && d.vocabulary < byteTokens+1 {
		err = errors.New("there must be a token for each byte, and one more")
	}
	if err != nil {
		return fmt.Errorf("synthetic model %+v makes no sense: %w", shape, err)
	}
	if err := writeJSON(filepath.Join(folder, "config.json"), d.config); err != nil {
		return err
	}
	if err := writeVocabulary(folder, d.vocabulary); err != nil {
		return err
	}
	return d.writeWeights(ctx, folder)
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o666)
}
