package bpe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tti-llm/tti/format/vocabulary"
)

// declaration is an added token as transformers writes it.
type declaration struct {
	Content    string `json:"content"`
	LeftStrip  bool   `json:"lstrip"`
	Normalized bool   `json:"normalized"`
	RightStrip bool   `json:"rstrip"`
	SingleWord bool   `json:"single_word"`
	Special    bool   `json:"special"`
}

// Export returns a tokenizer's files as transformers writes them, by name: vocab.json, merges.txt,
// tokenizer_config.json, special_tokens_map.json and generation_config.json. positions is the length
// of the model's context.
//
// There are definitions that no such files can express, because two tokens would be written alike
// or an id in the middle has no token. Load gives back the definition where it can be expressed.
func Export(d vocabulary.Definition, o Options, positions int) (map[string][]byte, error) {
	spelled, special := make([]string, len(d.Tokens)), map[int]string{}
	for id, token := range d.Tokens {
		spelled[id] = Spell(token)
	}
	decoder := map[string]declaration{} // encoding/json sorts its keys
	for _, added := range d.Added {
		token := d.Tokens[added.ID]
		spelled[added.ID] = token
		decoder[strconv.Itoa(int(added.ID))] = declaration{Content: token, Special: added.Control}
		if added.Control {
			special[int(added.ID)] = token
		}
	}
	// name returns the text of a control token. Another one must not be named, or it became one.
	name := func(id *int) *string {
		if id != nil {
			if token, ok := special[*id]; ok {
				return &token
			}
		}
		return nil
	}
	var end *int
	if d.EOS != vocabulary.None {
		id := int(d.EOS)
		end = &id
	}
	names := map[string]*string{"bos_token": name(o.BOS), "eos_token": name(end), "unk_token": name(end)}
	config := map[string]any{
		"add_prefix_space": false, "added_tokens_decoder": decoder, "clean_up_tokenization_spaces": false,
		"model_max_length": positions, "tokenizer_class": "GPT2Tokenizer",
	}
	named := map[string]string{}
	for key, token := range names {
		config[key] = token // null where there is none: transformers would assume <|endoftext|>
		if token != nil {
			named[key] = *token
		}
	}
	vocab, err := vocabularyFile(spelled, d)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"vocab.json": vocab, "merges.txt": mergesFile(spelled, d)}
	for name, value := range map[string]any{
		"tokenizer_config.json":   config,
		"special_tokens_map.json": named,
		"generation_config.json":  map[string]*int{"bos_token_id": o.BOS, "eos_token_id": end},
	} {
		if files[name], err = encodeJSON(value, "  "); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// vocabularyFile returns vocab.json, in the order of ids and without the tokens that only pad.
func vocabularyFile(spelled []string, d vocabulary.Definition) ([]byte, error) {
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
		key, err := encodeJSON(token, "")
		if err != nil {
			return nil, err
		}
		if len(ids) > 1 {
			text = append(text, ", "...)
		}
		text = append(text, bytes.TrimSuffix(key, []byte("\n"))...)
		text = fmt.Appendf(text, ": %d", id)
	}
	return append(text, "}\n"...), nil
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
