// Package bpe reads the tokenizer files of a HuggingFace model directory into the definition that
// format/vocabulary lays out: tokenizer.json or, where there is none, vocab.json with merges.txt, which say nothing about
// normalizers and the like and are read as GPT-2's; and what tokenizer_config.json, special_tokens_map.json,
// generation_config.json and chat_template.jinja say about special tokens, the end of text and chats.
//
// What is not known to be tokenized exactly as HuggingFace's library does it is refused by name.
// Start reading at Load, then tokenizerjson.go.
package bpe

import (
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/vocabulary"
)

// Options are what the model's config.json says of its vocabulary.
type Options struct {
	// Size is vocab_size, the number of ids the model has logits for. The files may name fewer
	// tokens: models pad their embedding, and the ids beyond get empty tokens. Zero: as many as
	// the files name.
	Size int
	// EOS are eos_token_id, of which config.json may have several.
	EOS []int
	// BOS is bos_token_id, nil where config.json has none.
	BOS *int
}

// maxPadding bounds the tokens that Options.Size and holes may add to those of the files, so that a few
// bytes of configuration cannot ask for gigabytes. Real models round up to a few hundred.
const maxPadding = 1 << 16

// Load reads a model directory's tokenizer. It returns what the tokenizer section is built from and
// the names of the files read. Errors name the file, and the line, id or token in it.
//
// The ends of text are those of generation_config.json or, where that has none, Options.EOS and the eos_token of
// tokenizer_config.json or special_tokens_map.json; where all are silent, <|endoftext|>, if there is such a token.
//
// Control tokens are those that tokenizer.json declares special. Where there is only vocab.json, they are those declared
// special in any of the files, <|endoftext|>, and the end and beginning of text that config.json names where no
// merge leads to them; special tokens without an id are left out.
func Load(directory fs.FS, o Options) (d vocabulary.Definition, files []string, err error) {
	l := loader{files: reader{directory: directory}}
	if d, err = l.load(o); err != nil {
		return vocabulary.Definition{}, nil, err
	}
	return d, l.files.read, nil
}

// loader gathers what the files say.
type loader struct {
	files reader

	tokens map[string]int // the vocabulary as it is spelled in the file
	merges []rule

	config  tokenizerConfigFile
	special specialNames // of tokenizer_config.json and special_tokens_map.json
	ends    []int        // eos_token_id of generation_config.json

	added []addedToken // where there is no tokenizer.json
}

// rule is a merge as it is spelled in the file, and its line or number there.
type rule struct {
	left, right string
	line        int
}

func (l *loader) load(o Options) (d vocabulary.Definition, err error) {
	whole, err := l.files.has(modelfiles.Tokenizer)
	if err != nil {
		return d, err
	}
	read, define := l.readClassic, l.defineClassic
	if whole {
		read, define = l.readNames, l.defineWhole
	}
	if err := read(); err != nil {
		return d, err
	}
	if err := l.readGenerationConfig(); err != nil {
		return d, err
	}
	if d, err = define(o); err != nil {
		return d, err
	}
	if d.End, err = l.resolveEnds(d, o); err != nil {
		return d, err
	}
	if d.Templates, err = l.readTemplates(); err != nil {
		return d, err
	}
	if d.Templates != nil { // nobody else asks for these
		d.BOS, d.EOS, d.UNK, d.PAD = l.special.Begin.text(), l.special.End.text(), l.special.Unknown.text(), l.special.Padding.text()
	}
	return d, nil
}

// spelling is a token as a file writes it, and whether it is to be read letter by letter in the byte alphabet.
type spelling struct {
	text string
	raw  bool
}

// tokenBytes lists the tokens' bytes by id, as many as size or, if that is zero, as there are. holes allows ids without a token.
func tokenBytes(spelled map[int]spelling, size int, holes bool) ([]string, error) {
	count := len(spelled)
	if holes {
		for id := range spelled {
			count = max(count, id+1)
		}
		if count-len(spelled) > maxPadding {
			return nil, fmt.Errorf("%d tokens, but ids up to %d", len(spelled), count-1)
		}
	}
	if size == 0 {
		size = count
	}
	if count > size {
		return nil, fmt.Errorf("%d tokens, but config.json has vocab_size %d", count, size)
	}
	if size > count+maxPadding || size > math.MaxInt32 {
		return nil, fmt.Errorf("only %d tokens, but config.json has vocab_size %d", count, size)
	}
	tokens := make([]string, size)
	for id := range count {
		token, ok := spelled[id]
		switch {
		case !ok && !holes:
			return nil, fmt.Errorf("token ids have a hole at %d", id)
		case !ok || token.raw:
			tokens[id] = token.text
			continue
		}
		var err error
		if tokens[id], err = unspell(token.text); err != nil {
			return nil, fmt.Errorf("token %d: %w", id, err)
		}
	}
	return tokens, nil
}

// byID turns the vocabulary around.
func (l *loader) byID() (map[int]string, error) {
	tokens := make(map[int]string, len(l.tokens))
	for token, id := range l.tokens {
		if other, taken := tokens[id]; taken {
			return nil, fmt.Errorf("id %d is both %q and %q", id, min(token, other), max(token, other))
		}
		tokens[id] = token
	}
	return tokens, nil
}

// resolveMerges turns merges into ids. Errors name a merge by what its file calls its place, and the number there.
func (l *loader) resolveMerges(place string) ([]vocabulary.Merge, error) {
	merges := make([]vocabulary.Merge, len(l.merges))
	lines := make(map[[2]int]int, len(l.merges))
	for rank, rule := range l.merges {
		fail := func(format string, arguments ...any) ([]vocabulary.Merge, error) {
			return nil, fmt.Errorf("%s %d: %s", place, rule.line, fmt.Sprintf(format, arguments...))
		}
		var ids [3]int
		for i, token := range []string{rule.left, rule.right, rule.left + rule.right} {
			id, ok := l.tokens[token]
			if !ok {
				return fail("token %q is not in the vocabulary", token)
			}
			ids[i] = id
		}
		pair := [2]int{ids[0], ids[1]}
		if line, repeated := lines[pair]; repeated {
			return fail("%q %q repeats %d", rule.left, rule.right, line)
		}
		lines[pair] = rule.line
		merges[rank] = vocabulary.Merge{Left: int32(ids[0]), Right: int32(ids[1]), Result: int32(ids[2])}
	}
	return merges, nil
}

// resolveEnds returns the tokens that end a text, the one that is meant most first.
func (l *loader) resolveEnds(d vocabulary.Definition, o Options) ([]int32, error) {
	file, ids := modelfiles.Generation, l.ends
	if len(ids) == 0 {
		file, ids = modelfiles.Configuration, o.EOS
	}
	var ends []int32
	for _, id := range ids {
		if id < 0 || id >= len(d.Tokens) {
			return nil, fmt.Errorf("%s: eos_token_id %d is not below the vocabulary's %d", file, id, len(d.Tokens))
		}
		ends = append(ends, int32(id))
	}
	if len(l.ends) > 0 {
		return ends, nil
	}
	name := l.special.End.text()
	if usual := eos; name == nil && len(ends) == 0 {
		name = &usual
	}
	for _, a := range d.Added {
		if name != nil && a.Content == *name && !slices.Contains(ends, a.ID) {
			ends = append(ends, a.ID)
		}
	}
	return ends, nil
}
