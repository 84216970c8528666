// Package modelfiles knows the files of a HuggingFace model directory: what they are called, how large they may
// be, and which files an index spreads the weights over.
package modelfiles

import "math"

// What the files are called.
const (
	Configuration = "config.json"
	Generation    = "generation_config.json"

	Weights       = "model.safetensors"
	Index         = "model.safetensors.index.json" // of weights in several files
	WeightsEnding = ".safetensors"                 // of each of them

	Vocabulary       = "vocab.json"
	Merges           = "merges.txt"
	Tokenizer        = "tokenizer.json"
	AddedTokens      = "added_tokens.json"
	TokenizerConfig  = "tokenizer_config.json"
	SpecialTokensMap = "special_tokens_map.json"
	ChatTemplate     = "chat_template.jinja"
	SentencePiece    = "tokenizer.model" // not read: it lacks what tokenizer.json says about normalizing and added tokens
)

// sizes are the largest that are read, in bytes, and with them bound the memory that a directory can ask for.
var sizes = map[string]int64{
	Configuration: 1 << 20, // GPT-2's has 665 bytes
	Generation:    1 << 20,

	Index: 16 << 20, // one of 92,000 tensors, that of a model of 671 billion parameters, has 9 MB

	// GPT-2's have 1 and 2 MB, the largest in use 33 MB.
	Vocabulary: 64 << 20,
	Merges:     64 << 20,
	Tokenizer:  64 << 20,

	// With many added tokens they reach 1 MB.
	AddedTokens:      2 << 20,
	TokenizerConfig:  2 << 20,
	SpecialTokensMap: 2 << 20,
	ChatTemplate:     1 << 20, // the longest in use have 20 KB
}

// MaxSize returns how large a file may be. Weights, which are mapped and not read, may be of any size.
func MaxSize(name string) int64 {
	if size, ok := sizes[name]; ok {
		return size
	}
	return math.MaxInt64
}
