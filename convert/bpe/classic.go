package bpe

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/vocabulary"
)

// eos is the end of text of GPT-2 tokenizers that name no other.
const eos = "<|endoftext|>"

// addedToken is a token declared in one of the files beside vocab.json.
type addedToken struct {
	content string
	id      int
	hasID   bool
	control bool
	file    string
}

// readClassic reads the files of a directory without tokenizer.json.
func (l *loader) readClassic() error {
	for _, read := range []func() error{l.readTokens, l.readAddedTokens, l.readNames, l.readDecoder} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// readTokens reads vocab.json and merges.txt.
func (l *loader) readTokens() error {
	for _, name := range []string{modelfiles.Vocabulary, modelfiles.Merges} {
		present, err := l.files.has(name)
		switch {
		case err != nil:
			return err
		case present:
			continue
		}
		if sentencePiece, _ := l.files.has(modelfiles.SentencePiece); sentencePiece {
			return errors.New("there is no tokenizer.json beside tokenizer.model: write one with AutoTokenizer.from_pretrained(...).save_pretrained(...) of transformers")
		}
		if name == modelfiles.Merges {
			return errors.New("vocab.json is there, but neither merges.txt nor tokenizer.json")
		}
		return errors.New("neither tokenizer.json nor vocab.json is there")
	}
	if err := l.readVocab(); err != nil {
		return err
	}
	return l.readMerges()
}

// defineClassic checks the whole and turns spellings into bytes and ids.
func (l *loader) defineClassic(o Options) (d vocabulary.Definition, err error) {
	d.Settings = vocabulary.Classic(vocabulary.None)
	added, err := l.resolveAdded()
	if err != nil {
		return d, err
	}
	if d.Tokens, err = l.classicTokens(added, o.Size); err != nil {
		return d, fmt.Errorf("%s: %w", modelfiles.Vocabulary, err)
	}
	if d.Merges, err = l.resolveMerges("line"); err != nil {
		return d, fmt.Errorf("%s: %w", modelfiles.Merges, err)
	}
	if err := l.addControl(added, d, o); err != nil {
		return d, err
	}
	for _, id := range slices.Sorted(maps.Keys(added)) {
		token := added[id]
		_, word := l.tokens[token.content]
		d.Added = append(d.Added, vocabulary.Added{
			ID: int32(id), Content: token.content, Pattern: token.content, Control: token.control, Word: word,
		})
	}
	if _, err := d.ByteTokens(); err != nil {
		return d, fmt.Errorf("%s: %w", modelfiles.Vocabulary, err)
	}
	return d, nil
}

// classicTokens lists the tokens' bytes by id. Added tokens stand for their own text.
func (l *loader) classicTokens(added map[int]addedToken, size int) ([]string, error) {
	spelled, err := l.byID()
	if err != nil {
		return nil, err
	}
	all := make(map[int]spelling, len(spelled)+len(added))
	for id, token := range spelled {
		all[id] = spelling{text: token}
	}
	for id, token := range added {
		all[id] = spelling{text: token.content, raw: true}
	}
	return tokenBytes(all, size, false)
}

// check refuses what is not a plain piece of text.
func (d declared) check(file string) error {
	err := refuse([]refusal{{"single_word", d.SingleWord}, {"lstrip", d.LeftStrip}, {"rstrip", d.RightStrip}})
	if err != nil {
		return fmt.Errorf("%s: added token %q: %w", file, d.Content, err)
	}
	return d.checkContent(file)
}

// declare notes an added token that has an id.
func (l *loader) declare(file string, id int, d declared) error {
	if err := d.check(file); err != nil {
		return err
	}
	l.added = append(l.added, addedToken{content: d.Content, id: id, hasID: true, control: d.Special, file: file})
	return nil
}

// readAddedTokens reads added_tokens.json: ids by text.
func (l *loader) readAddedTokens() error {
	const file = "added_tokens.json"
	var data json.RawMessage
	if err := l.files.parseIfThere(file, &data); err != nil || data == nil {
		return err
	}
	ids, err := parseIDs(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, content := range slices.Sorted(maps.Keys(ids)) {
		if err := l.declare(file, ids[content], declared{Content: content}); err != nil {
			return err
		}
	}
	return nil
}

// addNames notes the special tokens that a file names, whose ids other files give.
func (l *loader) addNames(file string, names specialNames) error {
	all := names.Additional
	for _, named := range []*declared{
		names.Begin, names.End, names.Unknown, names.Separator, names.Padding, names.Classify, names.Mask,
	} {
		if named != nil && named.Content != "" {
			all = append(all, *named)
		}
	}
	l.added = slices.Grow(l.added, len(all))
	for _, d := range all {
		if err := d.check(file); err != nil {
			return err
		}
		l.added = append(l.added, addedToken{content: d.Content, control: true, file: file})
	}
	return nil
}

// tokenizerClasses are the tokenizers that split and merge as GPT-2's does, and the generic ones,
// which say nothing.
var tokenizerClasses = []string{
	"", "GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer", "CodeGenTokenizerFast",
	"PreTrainedTokenizerFast", "TokenizersBackend",
}

// readDecoder reads what tokenizer_config.json says that tokenizer.json would have the last word on.
func (l *loader) readDecoder() error {
	const file = modelfiles.TokenizerConfig
	config := &l.config
	if err := refuse([]refusal{
		{fmt.Sprintf("tokenizer_class %q", config.Class), !slices.Contains(tokenizerClasses, config.Class)},
		{"add_prefix_space", config.AddPrefixSpace},
		{"add_bos_token", config.AddBegin},
		{"add_eos_token", config.AddEnd},
	}); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, number := range slices.Sorted(maps.Keys(config.Decoder)) {
		id, err := parseID(number)
		if err != nil {
			return fmt.Errorf("%s: added_tokens_decoder: %w", file, err)
		}
		if err := l.declare(file, id, config.Decoder[number]); err != nil {
			return err
		}
	}
	return nil
}

// resolveAdded gathers the added tokens by id, each once, whatever number of files declare it.
func (l *loader) resolveAdded() (map[int]addedToken, error) {
	ids := make(map[string]int)
	for _, token := range l.added {
		if !token.hasID {
			continue
		}
		known, ok := l.tokens[token.content]
		if !ok {
			known, ok = ids[token.content]
		}
		if ok && known != token.id {
			return nil, fmt.Errorf("%s: added token %q has id %d, elsewhere %d", token.file, token.content, token.id, known)
		}
		ids[token.content] = token.id
	}
	added := make(map[int]addedToken)
	for _, token := range append(l.added, addedToken{content: eos, control: true}) {
		id, ok := ids[token.content]
		if !ok {
			if id, ok = l.tokens[token.content]; !ok {
				continue
			}
		}
		token.id = id
		if other, ok := added[id]; ok {
			if other.content != token.content {
				return nil, fmt.Errorf("%s: id %d is both %q and %q", cmp.Or(token.file, other.file), id, other.content, token.content)
			}
			token.control = token.control || other.control
		}
		added[id] = token
	}
	return added, l.checkPlaces(added)
}

// checkPlaces refuses added tokens at ids where the vocabulary has another token.
func (l *loader) checkPlaces(added map[int]addedToken) error {
	for content, id := range l.tokens {
		if token, ok := added[id]; ok && token.content != content {
			return fmt.Errorf("%s: added token %d is %q, but %s has %q there",
				token.file, id, token.content, modelfiles.Vocabulary, content)
		}
	}
	return nil
}

// addControl adds the beginning and end of text that config.json names, unless merging leads to
// them: some models end a text with a plain token, such as a line feed.
func (l *loader) addControl(added map[int]addedToken, d vocabulary.Definition, o Options) error {
	type named struct {
		name string
		id   int
	}
	var all []named
	for _, id := range o.EOS {
		all = append(all, named{"eos_token_id", id})
	}
	if o.BOS != nil {
		all = append(all, named{"bos_token_id", *o.BOS})
	}
	for _, end := range all {
		id := end.id
		if id < 0 || id >= len(d.Tokens) {
			return fmt.Errorf("config.json: %s %d is not below the vocabulary's %d", end.name, id, len(d.Tokens))
		}
		token, merged := d.Tokens[id], func(m vocabulary.Merge) bool { return m.Result == int32(id) }
		if len(token) > 1 && len(token) <= vocabulary.MaxAddedLength && !slices.ContainsFunc(d.Merges, merged) {
			added[id] = addedToken{content: token, id: id, control: true}
		}
	}
	return nil
}
