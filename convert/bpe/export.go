package bpe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/vocabulary"
)

// declaration is an added token as transformers writes it.
type declaration struct {
	ID         *int32 `json:"id,omitempty"` // in tokenizer.json
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LeftStrip  bool   `json:"lstrip"`
	RightStrip bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

func declare(a vocabulary.Added) declaration {
	return declaration{
		Content: a.Content, SingleWord: a.SingleWord, LeftStrip: a.LeftStrip, RightStrip: a.RightStrip,
		Normalized: a.Normalized, Special: a.Control,
	}
}

// Export returns a tokenizer's files as transformers writes them, by name: tokenizer.json, tokenizer_config.json and
// generation_config.json, and what older programs read of a tokenizer such as GPT-2's: vocab.json, merges.txt and
// special_tokens_map.json. positions is the length of the model's context.
//
// There are definitions that no such files can express, because two tokens would be written alike. Load gives back the
// definition where it can be expressed.
func Export(d vocabulary.Definition, o Options, positions int) (map[string][]byte, error) {
	spelled := spellAll(d)
	vocab, err := vocabularyFile(spelled, d, false)
	if err != nil {
		return nil, err
	}
	names := specialTexts(d, o)
	values := map[string]any{
		modelfiles.Tokenizer:       wholeFile(spelled, vocab, d),
		modelfiles.TokenizerConfig: tokenizerConfig(d, names, positions),
		modelfiles.Generation:      map[string]any{"bos_token_id": o.BOS, "eos_token_id": endIDs(d.End)},
	}
	files := make(map[string][]byte)
	if d.Classic() {
		values[modelfiles.SpecialTokensMap] = present(names)
		all, err := vocabularyFile(spelled, d, true)
		if err != nil {
			return nil, err
		}
		files[modelfiles.Vocabulary] = append(all, '\n')
		files[modelfiles.Merges] = mergesFile(spelled, d)
	}
	for name, value := range values {
		if files[name], err = encodeJSON(value, "  "); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// spellAll returns the tokens as the files write them.
func spellAll(d vocabulary.Definition) []string {
	spelled := make([]string, len(d.Tokens))
	for id, token := range d.Tokens {
		if spelled[id] = token; d.Unit == vocabulary.Bytes {
			spelled[id] = Spell(token)
		}
	}
	for _, a := range d.Added {
		spelled[a.ID] = content(a, d)
	}
	return spelled
}

// content returns the text of an added token, which Build fills in where a definition has none.
func content(a vocabulary.Added, d vocabulary.Definition) string {
	if a.Content == "" {
		return d.Tokens[a.ID]
	}
	return a.Content
}

// endIDs returns the ends of text as generation_config.json has them: one, several or none.
func endIDs(ends []int32) any {
	switch len(ends) {
	case 0:
		return nil
	case 1:
		return ends[0]
	}
	return ends
}

// specialTexts returns the texts of the special tokens that have a name, nil where there is none.
func specialTexts(d vocabulary.Definition, o Options) map[string]*string {
	if d.Templates != nil {
		return map[string]*string{"bos_token": d.BOS, "eos_token": d.EOS, "unk_token": d.UNK, "pad_token": d.PAD}
	}
	control := make(map[int]string)
	for _, a := range d.Added {
		if a.Control {
			control[int(a.ID)] = content(a, d)
		}
	}
	// Another token must not be named, or it became a control token.
	name := func(id int) *string {
		if text, ok := control[id]; ok {
			return &text
		}
		return nil
	}
	names := map[string]*string{"bos_token": nil, "eos_token": nil, "unk_token": nil}
	if o.BOS != nil {
		names["bos_token"] = name(*o.BOS)
	}
	if len(d.End) > 0 {
		names["eos_token"] = name(int(d.End[0]))
	}
	switch {
	case d.Unknown != nil:
		names["unk_token"] = name(int(*d.Unknown))
	case d.Classic():
		names["unk_token"] = names["eos_token"]
	}
	return names
}

// present returns the texts that there are.
func present(names map[string]*string) map[string]string {
	texts := make(map[string]string)
	for key, text := range names {
		if text != nil {
			texts[key] = *text
		}
	}
	return texts
}

func tokenizerConfig(d vocabulary.Definition, names map[string]*string, positions int) map[string]any {
	decoder := make(map[string]declaration) // encoding/json sorts its keys
	for _, a := range d.Added {
		a.Content = content(a, d)
		decoder[strconv.Itoa(int(a.ID))] = declare(a)
	}
	config := map[string]any{
		"added_tokens_decoder": decoder, "clean_up_tokenization_spaces": false,
		"model_max_length": positions, "tokenizer_class": "PreTrainedTokenizerFast",
	}
	if d.Classic() {
		config["add_prefix_space"], config["tokenizer_class"] = false, "GPT2Tokenizer"
	}
	for key, token := range names {
		config[key] = token // null where there is none: transformers would assume <|endoftext|>
	}
	if template, ok := d.Templates[vocabulary.DefaultTemplate]; ok && len(d.Templates) == 1 {
		config["chat_template"] = template
	} else if d.Templates != nil {
		config["chat_template"] = namedTemplates(d.Templates)
	}
	return config
}

// vocabularyFile returns the ids by token, in the order of ids and without the tokens that only pad, with all added
// tokens or only those that words may be.
func vocabularyFile(spelled []string, d vocabulary.Definition, all bool) ([]byte, error) {
	outside := make(map[int]bool)
	for _, a := range d.Added {
		outside[int(a.ID)] = !a.Word && !all
	}
	ids := make(map[string]int, len(spelled))
	text := []byte{'{'}
	for id, token := range spelled {
		if token == "" {
			continue
		}
		if other, taken := ids[token]; taken {
			return nil, fmt.Errorf("vocab.json: tokens %d (%q) and %d (%q) are both written %q", other, d.Tokens[other], id, d.Tokens[id], token)
		}
		ids[token] = id
		if outside[id] {
			continue
		}
		key, err := encodeJSON(token, "")
		if err != nil {
			return nil, err
		}
		if len(text) > 1 {
			text = append(text, ", "...)
		}
		text = append(text, bytes.TrimSuffix(key, []byte("\n"))...)
		text = fmt.Appendf(text, ": %d", id)
	}
	return append(text, '}'), nil
}

func mergesFile(spelled []string, d vocabulary.Definition) []byte {
	text := []byte("#version: 0.2\n")
	for _, m := range d.Merges {
		text = fmt.Appendf(text, "%s %s\n", spelled[m.Left], spelled[m.Right])
	}
	return text
}

func encodeJSON(value any, indent string) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	err := encoder.Encode(value)
	return text.Bytes(), err
}
