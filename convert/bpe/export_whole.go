package bpe

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/tti-llm/tti/format/vocabulary"
)

type object = map[string]any

// wholeFile returns what tokenizer.json holds.
func wholeFile(spelled []string, vocab []byte, d vocabulary.Definition) object {
	merges := make([][2]string, len(d.Merges))
	for rank, m := range d.Merges {
		merges[rank] = [2]string{spelled[m.Left], spelled[m.Right]}
	}
	added := make([]declaration, 0, len(d.Added))
	for _, a := range d.Added {
		a.Content = content(a, d)
		token, id := declare(a), a.ID
		token.ID = &id
		added = append(added, token)
	}
	slices.SortStableFunc(added, func(a, b declaration) int { return int(*a.ID) - int(*b.ID) })
	var unknown any
	if d.Unknown != nil {
		unknown = spelled[*d.Unknown]
	}
	return object{
		"version": "1.0", "truncation": nil, "padding": nil,
		"added_tokens":   added,
		"normalizer":     sequence(d.Normalizer, "normalizers", writeNormalizer),
		"pre_tokenizer":  sequence(d.PreTokenizer, "pretokenizers", writePreTokenizer),
		"decoder":        sequence(d.Decoder, "decoders", writeDecoder),
		"post_processor": writeProcessor(spelled, d),
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": unknown, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": d.FuseUnknown, "byte_fallback": d.ByteFallback, "ignore_merges": d.IgnoreMerges,
			"vocab": json.RawMessage(vocab), "merges": merges,
		},
	}
}

// sequence returns the component that does some steps, nil for none.
func sequence(steps []vocabulary.Step, list string, write func(vocabulary.Step) object) any {
	switch len(steps) {
	case 0:
		return nil
	case 1:
		return write(steps[0])
	}
	parts := make([]object, len(steps))
	for i, step := range steps {
		parts[i] = write(step)
	}
	return object{"type": "Sequence", list: parts}
}

func writeReplace(s vocabulary.Step) object {
	return object{"type": s.Type, "pattern": object{"String": s.Text}, "content": s.With}
}

func writeMetaspace(s vocabulary.Step) object {
	return object{"type": s.Type, "replacement": s.Text, "prepend_scheme": s.Scheme, "split": s.Split}
}

func writeNormalizer(s vocabulary.Step) object {
	switch s.Type {
	case vocabulary.Prepend:
		return object{"type": s.Type, "prepend": s.Text}
	case vocabulary.Replace:
		return writeReplace(s)
	}
	return object{"type": s.Type}
}

func writePreTokenizer(s vocabulary.Step) object {
	switch s.Type {
	case vocabulary.Split:
		pattern := object{"String": s.Text}
		if s.Pattern != "" {
			pattern = object{"Regex": vocabulary.Patterns[s.Pattern]}
		}
		return object{"type": s.Type, "pattern": pattern, "behavior": s.Behavior, "invert": s.Invert}
	case vocabulary.Digits:
		return object{"type": s.Type, "individual_digits": s.Each}
	case vocabulary.ByteLevel:
		return object{"type": s.Type, "add_prefix_space": s.Space, "trim_offsets": true, "use_regex": s.Pattern != ""}
	}
	return writeMetaspace(s)
}

func writeDecoder(s vocabulary.Step) object {
	switch s.Type {
	case vocabulary.Replace:
		return writeReplace(s)
	case vocabulary.Strip:
		return object{"type": s.Type, "content": s.Text, "start": s.Start, "stop": 0}
	case vocabulary.Metaspace:
		o := writeMetaspace(s)
		o["split"] = true
		return o
	case vocabulary.ByteLevel:
		return object{"type": s.Type, "add_prefix_space": true, "trim_offsets": true, "use_regex": true}
	}
	return object{"type": s.Type}
}

// writeProcessor returns the post-processor that puts prefix and suffix around a text.
func writeProcessor(spelled []string, d vocabulary.Definition) any {
	if len(d.Prefix)+len(d.Suffix) == 0 {
		if d.Unit == vocabulary.Bytes {
			return object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}
		}
		return nil
	}
	special := object{}
	piece := func(ids []int32) (pieces []object) {
		for _, id := range ids {
			name := spelled[id]
			special[name] = object{"id": name, "ids": []int32{id}, "tokens": []string{name}}
			pieces = append(pieces, object{"SpecialToken": object{"id": name, "type_id": 0}})
		}
		return pieces
	}
	text := func(name string) []object { return []object{{"Sequence": object{"id": name, "type_id": 0}}} }
	before, after := piece(d.Prefix), piece(d.Suffix)
	return object{
		"type":   "TemplateProcessing",
		"single": slices.Concat(before, text("A"), after), "pair": slices.Concat(before, text("A"), after, before, text("B"), after),
		"special_tokens": special,
	}
}

// namedTemplates returns chat templates as a list with names.
func namedTemplates(templates map[string]string) (list []object) {
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		list = append(list, object{"name": name, "template": templates[name]})
	}
	return list
}
