package bpe

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tti-llm/tti/format/strictjson"
	"github.com/tti-llm/tti/format/vocabulary"
)

// list stores a field that is a list of objects.
func (f *fields) list(name string, objects *[]*fields) {
	var values []map[string]json.RawMessage
	f.plain(name, &values)
	for _, value := range values {
		*objects = append(*objects, &fields{values: value})
	}
}

// readProcessor returns the tokens that the post-processor puts before and after a text.
func readProcessor(f *fields) (prefix, suffix []int32, err error) {
	if f == nil {
		return nil, nil, nil
	}
	switch kind := f.text("type"); kind {
	case "ByteLevel":
		f.ignore("add_prefix_space", "trim_offsets", "use_regex") // offsets are not ids
		return nil, nil, f.done()
	case "TemplateProcessing":
		return readTemplateProcessing(f)
	case "Sequence":
		var list []*fields
		f.list("processors", &list)
		if err := f.done(); err != nil {
			return nil, nil, err
		}
		for _, part := range list {
			before, after, err := readProcessor(part)
			if err != nil {
				return nil, nil, err
			}
			prefix, suffix = slices.Concat(before, prefix), slices.Concat(suffix, after)
			if err := checkAround(prefix, suffix); err != nil {
				return nil, nil, err
			}
		}
		return prefix, suffix, nil
	default:
		return nil, nil, fmt.Errorf("type %.60q is not supported (supported: ByteLevel, Sequence, TemplateProcessing)", kind)
	}
}

// readTemplateProcessing reads the template of a single text: special tokens around it.
func readTemplateProcessing(f *fields) (prefix, suffix []int32, err error) {
	var pieces []map[string]struct {
		ID json.RawMessage `json:"id"`
	}
	var special map[string]struct {
		IDs []int32 `json:"ids"`
	}
	f.structs("single", &pieces)
	f.structs("special_tokens", &special)
	f.ignore("pair")
	if err := f.done(); err != nil {
		return nil, nil, fmt.Errorf("TemplateProcessing: %w", err)
	}
	texts := 0
	for _, piece := range pieces {
		for kind, value := range piece {
			switch kind {
			case "Sequence":
				texts++
			case "SpecialToken":
				var name string
				if err := strictjson.Unmarshal(value.ID, &name); err != nil {
					return nil, nil, fmt.Errorf("TemplateProcessing: single: %w", err)
				}
				ids, ok := special[name]
				if !ok {
					return nil, nil, fmt.Errorf("TemplateProcessing: special_tokens has no %.60q", name)
				}
				if texts == 0 {
					prefix = append(prefix, ids.IDs...)
				} else {
					suffix = append(suffix, ids.IDs...)
				}
				if err := checkAround(prefix, suffix); err != nil {
					return nil, nil, fmt.Errorf("TemplateProcessing: %w", err)
				}
			default:
				return nil, nil, fmt.Errorf("TemplateProcessing: single: %.60q is not supported", kind)
			}
		}
	}
	if texts != 1 {
		return nil, nil, fmt.Errorf("TemplateProcessing: single has %d texts, want 1", texts)
	}
	return prefix, suffix, nil
}

// checkAround refuses more tokens around a text than a section may have, before there are many: a few names of long lists
// could ask for gigabytes.
func checkAround(prefix, suffix []int32) error {
	if most := max(len(prefix), len(suffix)); most > vocabulary.MaxAround {
		return fmt.Errorf("%d tokens before or after a text, at most %d are allowed", most, vocabulary.MaxAround)
	}
	return nil
}
