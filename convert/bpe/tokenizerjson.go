package bpe

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

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
		return fmt.Errorf("merge %.80q is not two tokens", data)
	}
	r.left, r.right = pair[0], pair[1]
	return nil
}

// defineWhole reads tokenizer.json, which has everything in one file.
func (l *loader) defineWhole(o Options) (d vocabulary.Definition, err error) {
	const name = modelfiles.Tokenizer
	var file map[string]json.RawMessage
	if err := l.files.parse(name, &file); err != nil {
		return d, err
	}
	if d, err = l.define(&fields{values: file}, o); err != nil {
		return d, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

func (l *loader) define(file *fields, o Options) (d vocabulary.Definition, err error) {
	if d.Normalizer, err = file.steps("normalizer", normalizers); err != nil {
		return d, err
	}
	if d.PreTokenizer, err = file.steps("pre_tokenizer", preTokenizers); err != nil {
		return d, err
	}
	if d.Decoder, err = file.steps("decoder", decoders); err != nil {
		return d, err
	}
	d.Unit = vocabulary.Characters
	if last := len(d.PreTokenizer) - 1; last >= 0 && d.PreTokenizer[last].Type == vocabulary.ByteLevel {
		d.Unit = vocabulary.Bytes
	}
	if len(d.Decoder) == 0 {
		return d, fmt.Errorf("a tokenizer without decoder is not supported")
	}
	var added []declared
	model := file.object("model")
	processor := file.object("post_processor")
	file.structs("added_tokens", &added)
	file.ignore("version", "truncation", "padding") // they say what is done with the ids of several texts
	if err := file.done(); err != nil {
		return d, err
	}
	if model == nil {
		return d, errors.New("there is no model")
	}
	unknown, err := l.readModel(model, &d)
	if err != nil {
		return d, fmt.Errorf("model: %w", err)
	}
	ids, err := l.addedIDs(added)
	if err != nil {
		return d, err
	}
	if err := l.defineTokens(&d, added, ids, o.Size); err != nil {
		return d, err
	}
	if d.Merges, err = l.resolveMerges("merge"); err != nil {
		return d, err
	}
	if unknown != "" && d.Unit == vocabulary.Characters { // bytes are never unknown
		id, ok := l.tokens[unknown]
		if !ok {
			return d, fmt.Errorf("model: unk_token %.60q is not in the vocabulary", unknown)
		}
		unknown := int32(id)
		d.Unknown = &unknown
	}
	if d.Prefix, d.Suffix, err = readProcessor(processor); err != nil {
		return d, fmt.Errorf("post_processor: %w", err)
	}
	if err := d.Validate(len(d.Tokens)); err != nil {
		return d, err
	}
	if _, err := d.ByteTokens(); err != nil {
		return d, err
	}
	return d, nil
}

// readModel reads vocabulary and merges and the settings of BPE. It returns the token for what is unknown.
func (l *loader) readModel(f *fields, d *vocabulary.Definition) (unknown string, err error) {
	var vocab json.RawMessage
	if kind := f.text("type"); kind != "BPE" && kind != "" {
		return "", fmt.Errorf("type %.60q is not supported", kind)
	}
	if f.number("dropout") != 0 {
		return "", fmt.Errorf("dropout is not supported")
	}
	for _, name := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if f.text(name) != "" {
			return "", fmt.Errorf("%s is not supported", name)
		}
	}
	unknown = f.text("unk_token")
	fuse, fallback := f.boolean("fuse_unk", false), f.boolean("byte_fallback", false)
	if d.Unit == vocabulary.Characters {
		d.FuseUnknown, d.ByteFallback = fuse, fallback
	}
	d.IgnoreMerges = f.boolean("ignore_merges", false)
	f.plain("vocab", &vocab)
	f.plain("merges", &l.merges)
	if err := f.done(); err != nil {
		return "", err
	}
	for i := range l.merges {
		l.merges[i].line = i
	}
	if l.tokens, err = parseIDs(vocab); err != nil {
		return "", fmt.Errorf("vocab: %w", err)
	}
	return unknown, nil
}

// addedIDs returns the ids of the added tokens, which must agree with the vocabulary's.
func (l *loader) addedIDs(added []declared) ([]int, error) {
	ids := make([]int, len(added))
	byContent, byID := make(map[string]bool), make(map[int]string)
	for i, token := range added {
		id, err := parseID(string(token.ID))
		if err == nil {
			err = token.checkContent("added_tokens")
		}
		if err != nil {
			return nil, fmt.Errorf("added token %.60q: %w", token.Content, err)
		}
		if known, ok := l.tokens[token.Content]; ok && known != id {
			return nil, fmt.Errorf("added token %q has id %d, in the vocabulary %d", token.Content, id, known)
		}
		if other, taken := byID[id]; taken || byContent[token.Content] {
			return nil, fmt.Errorf("added token %q of id %d is there twice, also as %q", token.Content, id, other)
		}
		ids[i], byContent[token.Content], byID[id] = id, true, token.Content
	}
	return ids, nil
}

// defineTokens fills in tokens and added tokens. Added tokens that the model has no logits for are left out.
func (l *loader) defineTokens(d *vocabulary.Definition, added []declared, ids []int, size int) error {
	spelled, err := l.byID()
	if err != nil {
		return err
	}
	all := make(map[int]spelling, len(spelled)+len(added))
	for id, token := range spelled {
		all[id] = spelling{token, d.Unit == vocabulary.Characters}
	}
	for i, token := range added {
		id := ids[i]
		if size > 0 && id >= size && spelled[id] == "" {
			continue
		}
		if other := spelled[id]; other != "" && other != token.Content {
			return fmt.Errorf("added token %d is %q, but the vocabulary has %q there", id, token.Content, other)
		}
		a := vocabulary.Added{
			ID: int32(id), Content: token.Content, Pattern: token.Content,
			Control: token.Special, Normalized: token.Normalized, SingleWord: token.SingleWord,
			LeftStrip: token.LeftStrip, RightStrip: token.RightStrip,
		}
		if err := normalizePattern(&a, d.Normalizer); err != nil {
			return err
		}
		all[id] = spelling{token.Content, true}
		a.Word = spelled[id] != ""
		if d.Unit == vocabulary.Bytes {
			if a.Word && a.Pattern != a.Content {
				return fmt.Errorf("added token %q is normalized and in the vocabulary: not supported", token.Content)
			}
			// A decoder reads letter by letter what it can.
			_, err := unspell(a.Pattern)
			all[id] = spelling{a.Pattern, err != nil}
			a.Word = a.Word && err == nil
		}
		d.Added = append(d.Added, a)
	}
	// Of two that are found by the same text a special one is meant first, then the one that is listed first.
	slices.SortStableFunc(d.Added, func(a, b vocabulary.Added) int {
		switch {
		case a.Control == b.Control:
			return 0
		case a.Control:
			return -1
		}
		return 1
	})
	d.Tokens, err = tokenBytes(all, size, true)
	return err
}

// normalizePattern makes of a normalized added token what it is found by.
func normalizePattern(a *vocabulary.Added, normalizer []vocabulary.Step) error {
	if !a.Normalized {
		return nil
	}
	var err error
	if a.Pattern, err = tokenizer.Normalize(normalizer, a.Content); err != nil {
		return fmt.Errorf("added token %.60q: %w", a.Content, err)
	}
	if a.Pattern == "" || len(a.Pattern) > vocabulary.MaxAddedLength {
		return fmt.Errorf("added token %.60q is %d bytes long when it is normalized, want 1 to %d", a.Content, len(a.Pattern), vocabulary.MaxAddedLength)
	}
	return nil
}
