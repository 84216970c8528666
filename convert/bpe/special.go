package bpe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/vocabulary"
)

// declared is an added token as the files write it: an object, or its text alone.
type declared struct {
	ID         json.RawMessage `json:"id"` // in tokenizer.json only
	Content    string          `json:"content"`
	Special    bool            `json:"special"`
	Normalized bool            `json:"normalized"`
	SingleWord bool            `json:"single_word"`
	LeftStrip  bool            `json:"lstrip"`
	RightStrip bool            `json:"rstrip"`
}

// UnmarshalText is for the text alone.
func (d *declared) UnmarshalText(text []byte) error {
	d.Content = string(text)
	return nil
}

// text returns the token's text, nil where there is none.
func (d *declared) text() *string {
	if d == nil || d.Content == "" {
		return nil
	}
	return &d.Content
}

func (d declared) checkContent(file string) error {
	if len(d.Content) == 0 || len(d.Content) > vocabulary.MaxAddedLength {
		return fmt.Errorf("%s: added token %.40q is %d bytes long, want 1 to %d",
			file, d.Content, len(d.Content), vocabulary.MaxAddedLength)
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

// tokenizerConfigFile is tokenizer_config.json. Where there is tokenizer.json only names and template count.
type tokenizerConfigFile struct {
	specialNames
	Template       chatTemplate        `json:"chat_template"`
	Class          string              `json:"tokenizer_class"`
	AddPrefixSpace bool                `json:"add_prefix_space"`
	AddBegin       bool                `json:"add_bos_token"`
	AddEnd         bool                `json:"add_eos_token"`
	Decoder        map[string]declared `json:"added_tokens_decoder"` // by id
}

// readNames reads the names of special tokens, and the chat template that stands beside them.
func (l *loader) readNames() error {
	config := &l.config
	if err := l.files.parseIfThere(modelfiles.TokenizerConfig, config); err != nil {
		return err
	}
	var others specialNames
	if err := l.files.parseIfThere(modelfiles.SpecialTokensMap, &others); err != nil {
		return err
	}
	l.special = config.specialNames
	for _, name := range []struct{ first, second **declared }{
		{&l.special.Begin, &others.Begin}, {&l.special.End, &others.End}, {&l.special.Unknown, &others.Unknown}, {&l.special.Padding, &others.Padding},
	} {
		if *name.first == nil {
			*name.first = *name.second
		}
	}
	if err := l.addNames(modelfiles.TokenizerConfig, config.specialNames); err != nil {
		return err
	}
	return l.addNames(modelfiles.SpecialTokensMap, others)
}

// readGenerationConfig reads which tokens end a text.
func (l *loader) readGenerationConfig() error {
	const file = modelfiles.Generation
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
	if data[0] != '[' {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	if err := json.Unmarshal(data, &l.ends); err != nil {
		return fmt.Errorf("%s: eos_token_id: %w", file, err)
	}
	return nil
}
