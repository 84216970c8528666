package bpe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tti-llm/tti/format/vocabulary"
)

// components are the types of a kind of component, each with what makes a step of one. A component that has no effect gives
// the zero step.
type components struct {
	list string // the field of a Sequence
	read map[string]func(f *fields) (vocabulary.Step, error)
}

var normalizers = components{"normalizers", map[string]func(*fields) (vocabulary.Step, error){
	"NFC": func(*fields) (vocabulary.Step, error) { return vocabulary.Step{Type: vocabulary.NFC}, nil },
	"Prepend": func(f *fields) (vocabulary.Step, error) {
		return vocabulary.Step{Type: vocabulary.Prepend, Text: f.text("prepend")}, nil
	},
	"Replace": readReplace,
}}

var preTokenizers = components{"pretokenizers", map[string]func(*fields) (vocabulary.Step, error){
	"ByteLevel": func(f *fields) (vocabulary.Step, error) {
		s := vocabulary.Step{Type: vocabulary.ByteLevel, Space: f.boolean("add_prefix_space", true)}
		if f.boolean("use_regex", true) {
			s.Pattern = vocabulary.GPT2Pattern
		}
		f.ignore("trim_offsets") // offsets are not ids
		return s, nil
	},
	"Split": readSplit,
	"Digits": func(f *fields) (vocabulary.Step, error) {
		return vocabulary.Step{Type: vocabulary.Digits, Each: f.boolean("individual_digits", false)}, nil
	},
	"Metaspace": func(f *fields) (vocabulary.Step, error) {
		s, err := readMetaspace(f)
		s.Split = f.boolean("split", true)
		return s, err
	},
}}

var decoders = components{"decoders", map[string]func(*fields) (vocabulary.Step, error){
	"ByteLevel": func(f *fields) (vocabulary.Step, error) {
		f.ignore("add_prefix_space", "trim_offsets", "use_regex") // a decoder has no use for them
		return vocabulary.Step{Type: vocabulary.ByteLevel}, nil
	},
	"Replace":      readReplace,
	"ByteFallback": func(*fields) (vocabulary.Step, error) { return vocabulary.Step{Type: vocabulary.ByteFallback}, nil },
	"Fuse":         func(*fields) (vocabulary.Step, error) { return vocabulary.Step{Type: vocabulary.Fuse}, nil },
	"Strip": func(f *fields) (vocabulary.Step, error) {
		if f.integer("stop") != 0 {
			return vocabulary.Step{}, fmt.Errorf("a stop other than 0 is not supported")
		}
		return vocabulary.Step{Type: vocabulary.Strip, Text: f.text("content"), Start: f.integer("start")}, nil
	},
	"Metaspace": func(f *fields) (vocabulary.Step, error) { f.ignore("split"); return readMetaspace(f) },
}}

// steps reads a component and those in it.
func (f *fields) steps(name string, known components) ([]vocabulary.Step, error) {
	component := f.object(name)
	if component == nil {
		return nil, f.err
	}
	steps, err := component.flatten(known, 1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return steps, nil
}

// maxNesting is how deep sequences may stand in each other.
const maxNesting = 8

// flatten returns the steps of a component, which may be a Sequence of others.
func (f *fields) flatten(known components, depth int) ([]vocabulary.Step, error) {
	kind := f.text("type")
	if kind == "Sequence" {
		return f.sequence(known, depth)
	}
	read, ok := known.read[kind]
	if !ok {
		return nil, fmt.Errorf("type %.60q is not supported (supported: %s)", kind, strings.Join(slices.Sorted(maps.Keys(known.read)), ", "))
	}
	step, err := read(f)
	if f.err == nil && err == nil {
		err = f.done()
	}
	if f.err != nil {
		err = f.err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return []vocabulary.Step{step}, nil
}

func (f *fields) sequence(known components, depth int) (steps []vocabulary.Step, err error) {
	var list []*fields
	f.list(known.list, &list)
	if err := f.done(); err != nil {
		return nil, err
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("sequences are nested deeper than %d", maxNesting)
	}
	for _, part := range list {
		more, err := part.flatten(known, depth+1)
		if err != nil {
			return nil, err
		}
		if steps = append(steps, more...); len(steps) > vocabulary.MaxSteps {
			return nil, fmt.Errorf("more than %d components", vocabulary.MaxSteps)
		}
	}
	return steps, nil
}

// pattern reads what Split and Replace look for: a text, or a regular expression.
func (f *fields) pattern() (text, regex string) {
	object := f.object("pattern")
	if object == nil {
		return "", ""
	}
	text, regex = object.text("String"), object.text("Regex")
	if err := object.done(); err != nil && f.err == nil {
		f.err = fmt.Errorf("pattern: %w", err)
	}
	return text, regex
}

func readReplace(f *fields) (vocabulary.Step, error) {
	text, regex := f.pattern()
	if regex != "" {
		return vocabulary.Step{}, fmt.Errorf("pattern %q is not supported", regex)
	}
	return vocabulary.Step{Type: vocabulary.Replace, Text: text, With: f.text("content")}, nil
}

func readSplit(f *fields) (vocabulary.Step, error) {
	text, regex := f.pattern()
	s := vocabulary.Step{Type: vocabulary.Split, Text: text, Behavior: f.text("behavior"), Invert: f.boolean("invert", false)}
	if regex != "" {
		for name, pattern := range vocabulary.Patterns {
			if pattern == regex {
				s.Pattern = name
			}
		}
		if s.Pattern == "" {
			return s, fmt.Errorf("pattern %q is not supported", regex)
		}
	}
	if !slices.Contains([]string{vocabulary.Isolated, vocabulary.Removed, vocabulary.MergedWithPrevious}, s.Behavior) {
		return s, fmt.Errorf("behavior %.60q is not supported", s.Behavior)
	}
	return s, nil
}

func readMetaspace(f *fields) (vocabulary.Step, error) {
	s := vocabulary.Step{Type: vocabulary.Metaspace, Text: f.text("replacement"), Scheme: f.text("prepend_scheme")}
	if s.Scheme == "" {
		s.Scheme = vocabulary.Always
	}
	// Older files have these, which must say the same.
	if f.boolean("add_prefix_space", s.Scheme != vocabulary.Never) != (s.Scheme != vocabulary.Never) {
		return s, fmt.Errorf("add_prefix_space contradicts prepend_scheme %q", s.Scheme)
	}
	if old := f.text("str_rep"); old != "" && old != s.Text {
		return s, fmt.Errorf("str_rep contradicts replacement %q", s.Text)
	}
	return s, nil
}
