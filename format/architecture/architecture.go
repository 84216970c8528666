// Package architecture says what a model of each architecture consists of: its hyper-parameters, as the meta
// section has them, and its tensors, by name, shape and role. Each architecture is described here and nowhere
// else; converter, runtime, export and FORMAT.md's tests all go by it.
//
// It knows neither HuggingFace's names, which are the converter's, nor what is computed, which the runtime knows.
//
// Start reading at Tensor, then gpt2.go.
package architecture

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/strictjson"
)

// Role is what a tensor does in its model.
type Role int

const (
	TokenEmbedding      Role = iota // [vocabulary, embedding]; the output head as well where that is tied to it
	PositionEmbedding               // [context, embedding]
	AttentionNorm                   // [embedding]
	QKV                             // queries, then keys, then values
	AttentionOutput                 // of all heads, back to the embedding
	MLPNorm                         // [embedding]
	Up                              // [hidden, embedding]; of a gated block the gate first, [2 hidden, embedding]
	Down                            // [embedding, hidden]
	FinalNorm                       // [embedding]
	Head                            // [vocabulary, embedding], where it is not tied
	Frequencies                     // angles of a rotary embedding from one position to the next, [pairs]
	LongFrequencies                 // those for long contexts
	QueryNorm                       // of a query head, or of all together
	KeyNorm                         // of a key head, or of all together
	AttentionOutputNorm             // [embedding]
	MLPOutputNorm                   // [embedding]
)

// Tensor is one tensor section of a file.
type Tensor struct {
	Name   string
	Layer  int // counted from 0, -1 outside of layers
	Number int // of the rotary embedding, counted from 0
	Role   Role
	Bias   bool // that of a norm or a matrix, and not its weight
	Shape  []int
}

// IsMatrix reports whether the tensor is a weight matrix [out, in], kept in panels. The others are plain float32.
func (t Tensor) IsMatrix() bool {
	switch t.Role {
	case TokenEmbedding, QKV, AttentionOutput, Up, Down, Head:
		return !t.Bias
	}
	return false
}

// Hyperparameters are those of one model, as JSON of the meta section and back.
type Hyperparameters interface {
	// Validate returns an error that names a hyper-parameter that makes no sense. It wraps format.ErrUnsupported where a later
	// version may know better.
	Validate() error
	// Architecture returns the name of the architecture in the meta section.
	Architecture() string
	// Contexts returns for how many positions the model is when no more are asked for, and how many it can have.
	Contexts() (usual, longest int)
	// Tensors lists the tensors in the order of the file. They are as many as the hyper-parameters say, be that
	// ever so many: who walks through them should stop at the first that is not there.
	Tensors() iter.Seq[Tensor]
	// Tied reports whether the token embedding is the output head too.
	Tied() bool
	// SpecialTokens returns the token that ends a text and the one that begins it, -1 where there is none: a token outside
	// of the vocabulary can never be produced.
	SpecialTokens() (eos, bos int32)
}

// architectures makes the hyper-parameters of each architecture, by its name in the meta section.
var architectures = map[string]func() Hyperparameters{
	GPT2Name:    func() Hyperparameters { return &GPT2{} },
	DecoderName: func() Hyperparameters { return &Decoder{} },
}

// Names returns the names of all architectures, sorted.
func Names() []string { return slices.Sorted(maps.Keys(architectures)) }

// Parse reads and validates the hyper-parameters of the architecture of that name. All of them must be there: a missing
// one is no zero.
func Parse(name string, hyperparameters json.RawMessage) (Hyperparameters, error) {
	create, ok := architectures[name]
	if !ok {
		return nil, fmt.Errorf("%w: architecture %.60q", format.ErrUnsupported, name)
	}
	h := create()
	if err := (strictjson.Limits{Complete: true}).Unmarshal(hyperparameters, h); err != nil {
		return nil, fmt.Errorf("hyperparameters: %w", err)
	}
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("hyperparameters: %w", err)
	}
	return h, nil
}

// Streamed lists the matrices that a pass of one token reads from one end to the other: all but those it only
// looks up rows in.
func Streamed(h Hyperparameters) iter.Seq[Tensor] {
	return func(yield func(Tensor) bool) {
		for t := range h.Tensors() {
			if t.IsMatrix() && (t.Role != TokenEmbedding || h.Tied()) && !yield(t) {
				return
			}
		}
	}
}

// size is a hyper-parameter that counts something.
type size struct {
	name  string
	value int
}

// checkSizes refuses sizes that are not positive or do not fit 31 bits.
func checkSizes(sizes ...size) error {
	for _, s := range sizes {
		if s.value < 1 || s.value > math.MaxInt32 {
			return fmt.Errorf("%s is %d", s.name, s.value)
		}
	}
	return nil
}

// token returns a special token, or -1 if it is none of the vocabulary's.
func token(id *int32, vocabulary int) int32 {
	if id == nil || *id < 0 || int(*id) >= vocabulary {
		return -1
	}
	return *id
}
