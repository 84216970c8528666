package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// decoder stores a checked text. It fills structs; encoding/json does the rest.
type decoder struct {
	*json.Decoder
	fields   map[reflect.Type]map[string][]int // of each struct met so far: the index of a field by its name
	complete bool                              // all fields must be there
}

func decode(data []byte, value any, complete bool) error {
	d := decoder{json.NewDecoder(bytes.NewReader(data)), map[reflect.Type]map[string][]int{}, complete}
	return d.value(reflect.ValueOf(value).Elem())
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// holdsStruct tells whether encoding/json would match names with fields somewhere in a type.
func holdsStruct(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return false
	}
	switch t.Kind() {
	case reflect.Struct:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return holdsStruct(t.Elem())
	}
	return false
}

func (d decoder) value(value reflect.Value) error {
	if !holdsStruct(value.Type()) {
		if d.complete && value.Kind() != reflect.Pointer {
			return d.notNull(value)
		}
		return d.Decode(value.Addr().Interface())
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	return d.from(token, value)
}

// errMissing is what is wrong with a field that is not there, or null.
var errMissing = errors.New("is missing")

// notNull decodes a value that must not be null.
func (d decoder) notNull(value reflect.Value) error {
	var text json.RawMessage
	if err := d.Decode(&text); err != nil {
		return err
	}
	if string(text) == "null" {
		return errMissing
	}
	return json.Unmarshal(text, value.Addr().Interface())
}

// from decodes what begins with a token that has been read. As in encoding/json, null leaves a struct as it
// is and makes all others nil.
func (d decoder) from(token json.Token, value reflect.Value) error {
	kind := value.Kind()
	if token == nil {
		if d.complete && kind != reflect.Pointer {
			return errMissing
		}
		if kind != reflect.Struct {
			value.SetZero()
		}
		return nil
	}
	if kind == reflect.Pointer {
		value.Set(reflect.New(value.Type().Elem()))
		return d.from(token, value.Elem())
	}
	if text, ok := token.(string); ok {
		if u, ok := value.Addr().Interface().(encoding.TextUnmarshaler); ok {
			return u.UnmarshalText([]byte(text))
		}
	}
	open, what := json.Delim('{'), "an object"
	if kind == reflect.Slice {
		open, what = '[', "a list"
	}
	if token != open {
		return fmt.Errorf("want %s", what)
	}
	var err error
	switch kind {
	case reflect.Struct:
		err = d.structure(value)
	case reflect.Slice:
		err = d.list(value)
	case reflect.Map:
		err = d.object(value)
	}
	if err != nil {
		return err
	}
	_, err = d.Token() // that closes it
	return err
}

func (d decoder) structure(value reflect.Value) error {
	fields := d.fieldsOf(value.Type())
	var seen []string
	for d.More() {
		name, err := d.name()
		if err != nil {
			return err
		}
		index, known := fields[name]
		if !known {
			err = d.Decode(new(json.RawMessage))
		} else {
			seen = append(seen, name)
			err = d.value(value.FieldByIndex(index))
		}
		if err != nil {
			if err == errMissing {
				return fmt.Errorf("%.60s %w", name, err)
			}
			return fmt.Errorf("%.60s: %w", name, err)
		}
	}
	if d.complete && len(seen) < len(fields) { // no name occurs twice
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !slices.Contains(seen, name) {
				return fmt.Errorf("%s %w", name, errMissing)
			}
		}
	}
	return nil
}

func (d decoder) fieldsOf(t reflect.Type) map[string][]int {
	if d.fields[t] == nil {
		d.fields[t] = map[string][]int{}
		for _, field := range reflect.VisibleFields(t) {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
				d.fields[t][name] = field.Index
			}
		}
	}
	return d.fields[t]
}

func (d decoder) list(value reflect.Value) error {
	value.Set(reflect.MakeSlice(value.Type(), 0, 0))
	for i := 0; d.More(); i++ {
		value.Set(reflect.Append(value, reflect.Zero(value.Type().Elem())))
		if err := d.value(value.Index(i)); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (d decoder) object(value reflect.Value) error {
	value.Set(reflect.MakeMap(value.Type()))
	for d.More() {
		name, err := d.name()
		if err != nil {
			return err
		}
		element := reflect.New(value.Type().Elem()).Elem()
		if err := d.value(element); err != nil {
			return fmt.Errorf("%.60q: %w", name, err)
		}
		value.SetMapIndex(reflect.ValueOf(name).Convert(value.Type().Key()), element)
	}
	return nil
}

func (d decoder) name() (string, error) {
	token, err := d.Token()
	name, _ := token.(string) // no valid object has another name
	return name, err
}
