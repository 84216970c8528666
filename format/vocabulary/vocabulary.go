// Package vocabulary is the tokenizer section of a .tti file: the tokens' bytes, the merges of a
// byte-level BPE indexed by their left token, and the added tokens. Build lays the section out;
// Open checks it and answers look-ups in place, straight from the mapping, with no table built.
//
// It knows the tables, not the algorithm: splitting text and merging is package
// runtime/tokenizer, reading HuggingFace's files is package convert/bpe.
//
// Start reading at the chapter on it in FORMAT.md, then layout.go.
package vocabulary

// Definition is everything a tokenizer section says, in the order of the section's ids and ranks.
type Definition struct {
	// Tokens holds each id's bytes. An empty token stands for an id that the model has logits for
	// and no text means: models pad their embedding to a round number of rows.
	Tokens []string
	// Merges are in order of rank, the first to be applied first.
	Merges []Merge
	// Added are the tokens that text is split on before any merging, in any order.
	Added []Added
	// EOS is the id that ends a text, negative when there is none.
	EOS int32
}

// Merge says that Left followed by Right becomes Result, whose bytes are theirs put together.
type Merge struct{ Left, Right, Result int32 }

// Added is a token that is found in text as a whole rather than by merging.
type Added struct {
	ID int32
	// Control tokens steer the model (end of text, roles of a chat). Text that spells one means
	// the token only where the caller says so.
	Control bool
}

// None stands for a missing EOS.
const None int32 = -1

// MaxMergedLength bounds the bytes of a merge's result, and with it what checking one costs: a file could
// have so many merges of long tokens that comparing their bytes took minutes. GPT-2's longest token has 128.
const MaxMergedLength = 1024

// MaxAddedLength bounds the bytes of an added token, and with it what finding one can cost.
const MaxAddedLength = 255
