// Package bpe reads the tokenizer files of a HuggingFace model directory into the definition that
// format/vocabulary lays out: vocab.json with merges.txt, or tokenizer.json where those are
// missing, and what added_tokens.json, tokenizer_config.json, special_tokens_map.json and
// generation_config.json say about added tokens and the end of text.
//
// It knows GPT-2's byte-level BPE only and refuses everything else by name rather than tokenize
// differently from the model's training. Start reading at Load.
package bpe

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/tti-llm/tti/format/vocabulary"
)

// Options are what the model's config.json says of its vocabulary.
type Options struct {
	// Size is vocab_size, the number of ids the model has logits for. The files may name fewer
	// tokens: models pad their embedding, and the ids beyond get empty tokens. Zero: as many as
	// the files name.
	Size int
	// EOS and BOS are eos_token_id and bos_token_id, nil where config.json has none.
	EOS, BOS *int
}

// endOfText is the end of text of GPT-2 tokenizers that name no other.
const eos = "<|endoftext|>"

// maxPadding bounds the tokens that Options.Size may add to those of the files, so that a few
// bytes of configuration cannot ask for gigabytes. Real models round up to a few hundred.
const maxPadding = 1 << 16

// Load reads a model directory's tokenizer. It returns what the tokenizer section is built from and
// the names of the files read. Errors name the file, and the line, id or token in it.
//
// The end of text is, in this order, generation_config.json's (its first, if there are several),
// Options.EOS, the eos_token of tokenizer_config.json or special_tokens_map.json, and
// <|endoftext|> if there is such a token.
//
// Control tokens are those declared special in any of the files, <|endoftext|>, and the end and
// beginning of text that config.json names where no merge leads to them. Special tokens without an
// id are left out.
func Load(directory fs.FS, o Options) (d vocabulary.Definition, files []string, err error) {
	l := loader{files: reader{directory: directory}}
	if err := l.readFiles(); err != nil {
		return d, nil, err
	}
	if d, err = l.define(o); err != nil {
		return d, nil, err
	}
	return d, l.files.read, nil
}

// loader gathers what the files say.
type loader struct {
	files reader

	tokens map[string]int // the vocabulary as it is spelled in the file
	merges []rule
	names  struct{ tokens, merge string } // where tokens and merges came from, for errors

	added   []addedToken
	endName string // eos_token
	endID   *int   // eos_token_id of generation_config.json
}

// rule is a merge as it is spelled in the file, and its line or number there.
type rule struct {
	left, right string
	line        int
}

func (l *loader) readFiles() error {
	for _, read := range []func() error{
		l.readTokens, l.readAddedTokens, l.readTokenizerConfig, l.readSpecialTokensMap, l.readGenerationConfig,
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// readTokens reads the vocabulary and its merges from whichever files hold them.
func (l *loader) readTokens() error {
	vocab, err := l.files.has("vocab.json")
	if err != nil {
		return err
	}
	merges, err := l.files.has("merges.txt")
	if err != nil {
		return err
	}
	if vocab && merges {
		if err := l.readVocab(); err != nil {
			return err
		}
		return l.readMerges()
	}
	switch err := l.readTokenizer(); {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case !vocab:
		return errors.New("neither vocab.json nor tokenizer.json is there")
	}
	return errors.New("vocab.json is there, but neither merges.txt nor tokenizer.json")
}

// define checks the whole and turns spellings into bytes and ids.
func (l *loader) define(o Options) (d vocabulary.Definition, err error) {
	added, err := l.resolveAdded()
	if err != nil {
		return d, err
	}
	if d.Tokens, err = l.tokenBytes(added, o.Size); err != nil {
		return d, err
	}
	if d.Merges, err = l.resolveMerges(); err != nil {
		return d, err
	}
	if err := l.addControl(added, d, o); err != nil {
		return d, err
	}
	if d.EOS, err = l.resolveEnd(len(d.Tokens), o); err != nil {
		return d, err
	}
	for id, token := range added {
		d.Added = append(d.Added, vocabulary.Added{ID: int32(id), Control: token.control})
	}
	slices.SortFunc(d.Added, func(a, b vocabulary.Added) int { return cmp.Compare(a.ID, b.ID) })
	if _, err := d.ByteTokens(); err != nil {
		return d, fmt.Errorf("%s: %w", l.names.tokens, err)
	}
	return d, nil
}

// tokenBytes lists the tokens' bytes by id. Added tokens stand for their own text, all others are
// spelled in the byte alphabet.
func (l *loader) tokenBytes(added map[int]addedToken, size int) ([]string, error) {
	spelled := make(map[int]string, len(l.tokens)+len(added))
	for token, id := range l.tokens {
		if other, taken := spelled[id]; taken {
			return nil, fmt.Errorf("%s: id %d is both %q and %q", l.names.tokens, id, min(token, other), max(token, other))
		}
		spelled[id] = token
	}
	for id, token := range added {
		spelled[id] = token.content
	}
	count := len(spelled)
	if size == 0 {
		size = count
	}
	if count > size {
		return nil, fmt.Errorf("%s: %d tokens, but config.json has vocab_size %d", l.names.tokens, count, size)
	}
	if size > count+maxPadding || size > math.MaxInt32 {
		return nil, fmt.Errorf("%s: only %d tokens, but config.json has vocab_size %d", l.names.tokens, count, size)
	}

	tokens := make([]string, size)
	for id := range count {
		token, ok := spelled[id]
		if !ok {
			return nil, fmt.Errorf("%s: token ids have a hole at %d", l.names.tokens, id)
		}
		if _, raw := added[id]; raw {
			tokens[id] = token
			continue
		}
		var err error
		if tokens[id], err = unspell(token); err != nil {
			return nil, fmt.Errorf("%s: token %d: %w", l.names.tokens, id, err)
		}
	}
	return tokens, nil
}

// resolveMerges turns merges into ids.
func (l *loader) resolveMerges() ([]vocabulary.Merge, error) {
	merges := make([]vocabulary.Merge, len(l.merges))
	lines := make(map[[2]int]int, len(l.merges))
	for rank, rule := range l.merges {
		fail := func(format string, arguments ...any) ([]vocabulary.Merge, error) {
			return nil, fmt.Errorf("%s %d: %s", l.names.merge, rule.line, fmt.Sprintf(format, arguments...))
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
