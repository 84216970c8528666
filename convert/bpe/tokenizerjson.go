package bpe

import (
	"encoding/json"
	"fmt"
	"strings"
)

// tokenizerFile is tokenizer.json as far as it can differ from GPT-2's.
type tokenizerFile struct {
	AddedTokens   []declared `json:"added_tokens"`
	Normalizer    *component `json:"normalizer"`
	PreTokenizer  *component `json:"pre_tokenizer"`
	PostProcessor *component `json:"post_processor"`
	Model         struct {
		Type         string          `json:"type"`
		Dropout      *float64        `json:"dropout"`
		Prefix       string          `json:"continuing_subword_prefix"`
		Suffix       string          `json:"end_of_word_suffix"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       []rule          `json:"merges"`
	} `json:"model"`
}

// component is a step of the tokenizer other than the model.
type component struct {
	Type           string `json:"type"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	UseRegex       *bool  `json:"use_regex"`
}

func (c *component) is(kind string) bool { return c != nil && c.Type == kind }

// UnmarshalJSON takes both ways that tokenizer.json writes a merge: "a b" and ["a", "b"].
func (r *rule) UnmarshalJSON(data []byte) error {
	var pair []string
	if data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		pair = strings.Split(text, " ")
	} else if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 || pair[0] == "" || pair[1] == "" {
		return fmt.Errorf("merge %.80s is not two tokens", data)
	}
	r.left, r.right = pair[0], pair[1]
	return nil
}

// readTokenizer reads tokenizer.json: vocabulary, merges and added tokens.
func (l *loader) readTokenizer() error {
	const name = "tokenizer.json"
	var file tokenizerFile
	if err := l.files.parse(name, &file); err != nil {
		return err
	}
	if err := file.check(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.names.tokens, l.names.merge = name, name+": merge"
	var err error
	if l.tokens, err = parseIDs(file.Model.Vocab); err != nil {
		return fmt.Errorf("%s: vocab: %w", name, err)
	}
	l.merges = file.Model.Merges
	for i := range l.merges {
		l.merges[i].line = i
	}
	for _, token := range file.AddedTokens {
		id, err := parseID(string(token.ID))
		if err != nil {
			return fmt.Errorf("%s: added token %q: %w", name, token.Content, err)
		}
		if err := l.declare(name, id, token); err != nil {
			return err
		}
	}
	return nil
}

// check refuses tokenizers that differ from GPT-2's in anything but their tables.
func (f *tokenizerFile) check() error {
	m := &f.Model
	regex := f.PreTokenizer == nil || f.PreTokenizer.UseRegex == nil || *f.PreTokenizer.UseRegex
	return refuse([]refusal{
		{fmt.Sprintf("model type %q", m.Type), m.Type != "BPE" && m.Type != ""},
		{"dropout", m.Dropout != nil && *m.Dropout != 0},
		{"continuing_subword_prefix", m.Prefix != ""},
		{"end_of_word_suffix", m.Suffix != ""},
		{"byte_fallback", m.ByteFallback},
		{"ignore_merges", m.IgnoreMerges},
		{"a normalizer", f.Normalizer != nil},
		{"a pre_tokenizer other than ByteLevel", !f.PreTokenizer.is("ByteLevel")},
		{"add_prefix_space", f.PreTokenizer.is("ByteLevel") && f.PreTokenizer.AddPrefixSpace},
		{"a pre_tokenizer without GPT-2's pattern", !regex},
		{"a post_processor other than ByteLevel", f.PostProcessor != nil && !f.PostProcessor.is("ByteLevel")},
	})
}
