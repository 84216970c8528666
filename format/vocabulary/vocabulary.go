// Package vocabulary is the tokenizer section of a .tti file: the tokens' bytes, the merges of a byte-pair encoding
// indexed by their left token, the added tokens, and what else the tokenizer does. Build lays the section out;
// Open answers look-ups in place, straight from the mapping, with no table built; Check checks the tables.
//
// It knows the tables, not the algorithm: splitting text and merging is package
// runtime/tokenizer, reading HuggingFace's files is package convert/bpe.
//
// Start reading at the chapter on it in FORMAT.md, then layout.go and settings.go.
package vocabulary

// Definition is everything a tokenizer section says, in the order of the section's ids and ranks.
type Definition struct {
	// Tokens holds each id's bytes, of which words are made and which they decode to. An empty token stands for an id that
	// the model has logits for and no text means: models pad their embedding to a round number of rows.
	Tokens []string
	// Merges are in order of rank, the first to be applied first.
	Merges []Merge
	// Added are the tokens that text is split on before any merging. Of two that are found in the same place by the same
	// text, the first is meant.
	Added []Added
	Settings
}

// Merge says that Left followed by Right becomes Result, whose bytes are theirs put together.
type Merge struct{ Left, Right, Result int32 }

// Added is a token that is found in text as a whole rather than by merging.
type Added struct {
	ID int32
	// Content is the token as its files write it, and Pattern what is looked for in text: the content or, of a
	// normalized token, what the normalizer makes of it.
	Content, Pattern string
	// Control tokens steer the model (end of text, roles of a chat). Text that spells one means
	// the token only where the caller says so.
	Control bool
	// Normalized tokens are looked for in normalized text, after the others.
	Normalized bool
	// SingleWord tokens are found only where neither a letter, mark, digit nor connector stands beside them.
	SingleWord bool
	// LeftStrip and RightStrip tokens swallow the white space before and after them.
	LeftStrip, RightStrip bool
	// Word is a token that merging and look-ups of whole words may lead to as well.
	Word bool
}

// None stands for a token that is missing.
const None int32 = -1

// MaxMergedLength bounds the bytes of a merge's result, and with it what checking one costs: a file could
// have so many merges of long tokens that comparing their bytes took minutes. The longest in use has 256.
const MaxMergedLength = 1024

// MaxAddedLength bounds the bytes of an added token, and with it what finding one can cost.
const MaxAddedLength = 255

// MaxProbes bounds the places of the index that a look-up goes through, and with it what a hostile index can cost. In one that
// is half full, runs of a hundred are not to be expected below 2³¹ tokens: D. E. Knuth, "The Art of Computer Programming",
// volume 3, section 6.4.
const MaxProbes = 1024

// SpelledByte returns the byte that a token such as <0xE2> stands for where characters fall back to bytes.
func SpelledByte(token string) (b byte, ok bool) {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	for _, c := range []byte(token[3:5]) {
		switch {
		case '0' <= c && c <= '9':
			b = b<<4 | (c - '0')
		case 'A' <= c && c <= 'F':
			b = b<<4 | (c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return b, true
}
