package bpe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tti-llm/tti/format/strictjson"
)

// fields reads an object of which every field must be known: one that is not may change what the tokenizer does.
// The first error sticks.
type fields struct {
	values map[string]json.RawMessage
	used   map[string]bool
	err    error
}

// take returns a field, nil if it is absent or null.
func (f *fields) take(name string) json.RawMessage {
	if f.used == nil {
		f.used = make(map[string]bool)
	}
	f.used[name] = true
	if value := f.values[name]; string(value) != "null" {
		return value
	}
	return nil
}

func (f *fields) ignore(names ...string) {
	for _, name := range names {
		f.take(name)
	}
}

// json stores a field that is there in the value.
func (f *fields) json(name string, value any) {
	if data := f.take(name); data != nil && f.err == nil {
		if err := strictjson.Unmarshal(data, value); err != nil {
			f.err = fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (f *fields) text(name string) (text string) {
	f.json(name, &text)
	return text
}

func (f *fields) number(name string) (number float64) {
	f.json(name, &number)
	return number
}

func (f *fields) boolean(name string, fallback bool) bool {
	f.json(name, &fallback)
	return fallback
}

// object returns a field that is an object, nil if it is absent or null.
func (f *fields) object(name string) *fields {
	var values map[string]json.RawMessage
	f.json(name, &values)
	if values == nil {
		return nil
	}
	return &fields{values: values}
}

// done returns the first error, or one that names a field that nobody has asked for.
func (f *fields) done() error {
	if f.err != nil {
		return f.err
	}
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if !f.used[name] {
			return fmt.Errorf("field %.60q is not supported", name)
		}
	}
	return nil
}
