package bpe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tti-llm/tti/format/strictjson"
)

// fields reads an object of which every field must be known: one that is not may change what the tokenizer does.
// The first error sticks. That the object is strict JSON has been checked with the file around it.
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

// plain stores a field that is there in a value that holds no structs.
func (f *fields) plain(name string, value any) {
	f.store(name, func(data []byte) error {
		if err := json.Unmarshal(data, value); err != nil {
			return fmt.Errorf("%.200s", err) // the error may quote a text in full
		}
		return nil
	})
}

// structs is plain for a value with structs in it, whose names encoding/json would not take byte for byte.
func (f *fields) structs(name string, value any) {
	f.store(name, func(data []byte) error { return strictjson.Unmarshal(data, value) })
}

func (f *fields) store(name string, unmarshal func(data []byte) error) {
	if data := f.take(name); data != nil && f.err == nil {
		if err := unmarshal(data); err != nil {
			f.err = fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (f *fields) text(name string) (text string) {
	f.plain(name, &text)
	return text
}

func (f *fields) number(name string) (number float64) {
	f.plain(name, &number)
	return number
}

func (f *fields) integer(name string) (number int) {
	f.plain(name, &number)
	return number
}

func (f *fields) boolean(name string, fallback bool) bool {
	f.plain(name, &fallback)
	return fallback
}

// object returns a field that is an object, nil if it is absent or null.
func (f *fields) object(name string) *fields {
	var values map[string]json.RawMessage
	f.plain(name, &values)
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
