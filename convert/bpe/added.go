package bpe

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tti-llm/tti/format/vocabulary"
)

// addedToken is a token declared in one of the files.
type addedToken struct {
	content string
	id      int
	hasID   bool
	control bool
	file    string
}

// declared is an added token as the files write it: an object, or its text alone.
type declared struct {
	ID      json.RawMessage `json:"id"` // in tokenizer.json only
	Content string          `json:"content"`
	Special bool            `json:"special"`
	// These would take text beside the token, or only some of its occurrences.
	SingleWord bool `json:"single_word"`
	LeftStrip  bool `json:"lstrip"`
	RightStrip bool `json:"rstrip"`
}

// UnmarshalText is for the text alone.
func (d *declared) UnmarshalText(text []byte) error {
	d.Content = string(text)
	return nil
}

// check refuses what is not a plain piece of text.
func (d declared) check(file string) error {
	err := refuse([]refusal{{"single_word", d.SingleWord}, {"lstrip", d.LeftStrip}, {"rstrip", d.RightStrip}})
	if err != nil {
		return fmt.Errorf("%s: added token %q: %w", file, d.Content, err)
	}
	if len(d.Content) == 0 || len(d.Content) > vocabulary.MaxAddedLength {
		return fmt.Errorf("%s: added token %.40q is %d bytes long, want 1 to %d",
			file, d.Content, len(d.Content), vocabulary.MaxAddedLength)
	}
	return nil
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

// specialNames are the tokens that tokenizer_config.json and special_tokens_map.json name alike.
type specialNames struct {
	Begin      *declared  `json:"bos_token"`
	End        *declared  `json:"eos_token"`
	Unknown    *declared  `json:"unk_token"`
	Separator  *declared  `json:"sep_token"`
	Padding    *declared  `json:"pad_token"`
	Classify   *declared  `json:"cls_token"`
	Mask       *declared  `json:"mask_token"`
	Additional []declared `json:"additional_special_tokens"`
}

// addNames notes special tokens, whose ids other files give.
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
	if names.End != nil && l.endName == "" {
		l.endName = names.End.Content
	}
	return nil
}

func (l *loader) readSpecialTokensMap() error {
	const file = "special_tokens_map.json"
	var names specialNames
	if err := l.files.parseIfThere(file, &names); err != nil {
		return err
	}
	return l.addNames(file, names)
}

// tokenizerClasses are the tokenizers that split and merge as GPT-2's does, and the generic ones,
// which say nothing.
var tokenizerClasses = []string{
	"", "GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer", "CodeGenTokenizerFast",
	"PreTrainedTokenizerFast", "TokenizersBackend",
}

func (l *loader) readTokenizerConfig() error {
	const file = "tokenizer_config.json"
	var config struct {
		specialNames
		Class          string              `json:"tokenizer_class"`
		AddPrefixSpace bool                `json:"add_prefix_space"`
		AddBegin       bool                `json:"add_bos_token"`
		AddEnd         bool                `json:"add_eos_token"`
		Decoder        map[string]declared `json:"added_tokens_decoder"` // by id
	}
	if err := l.files.parseIfThere(file, &config); err != nil {
		return err
	}
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
	return l.addNames(file, config.specialNames)
}

// readGenerationConfig reads which token ends a text. Several may; the first is meant most.
func (l *loader) readGenerationConfig() error {
	const file = "generation_config.json"
	var config struct {
		End json.RawMessage `json:"eos_token_id"`
	}
	if err := l.files.parseIfThere(file, &config); err != nil {
		return err
	}
	data := bytes.TrimSpace(config.End)
	if len(data) == 0 || string(data) == "null" {
		return nil
	}
	var ids []int
	if data[0] != '[' {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	if err := json.Unmarshal(data, &ids); err != nil {
		return fmt.Errorf("%s: eos_token_id: %w", file, err)
	}
	if len(ids) > 0 {
		l.endID = &ids[0]
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
				token.file, id, token.content, l.names.tokens, content)
		}
	}
	return nil
}

// addControl adds the beginning and end of text that config.json names, unless merging leads to
// them: some models end a text with a plain token, such as a line feed.
func (l *loader) addControl(added map[int]addedToken, d vocabulary.Definition, o Options) error {
	for _, end := range []struct {
		name string
		id   *int
	}{{"eos_token_id", o.EOS}, {"bos_token_id", o.BOS}} {
		if end.id == nil {
			continue
		}
		id := *end.id
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

func (l *loader) resolveEnd(size int, o Options) (int32, error) {
	file, id := "generation_config.json", l.endID
	if id == nil {
		file, id = "config.json", o.EOS
	}
	if id != nil {
		if *id < 0 || *id >= size {
			return 0, fmt.Errorf("%s: eos_token_id %d is not below the vocabulary's %d", file, *id, size)
		}
		return int32(*id), nil
	}
	for _, token := range l.added {
		if token.hasID && token.content == l.endName {
			return int32(token.id), nil
		}
	}
	for _, name := range []string{l.endName, eos} {
		if id, ok := l.tokens[name]; ok {
			return int32(id), nil
		}
	}
	return vocabulary.None, nil
}
