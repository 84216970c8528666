package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// Object is a JSON object whose fields keep their order, which templates that write them out show.
type Object []Field

// Field is a field of an Object. A value is nil, a bool, an int, int64 or float64, a json.Number, a string, a []any of
// such values, or an Object.
type Field struct {
	Name  string
	Value any
}

// Get returns the value of a field.
func (o Object) Get(name string) (value any, found bool) {
	for _, f := range o {
		if f.Name == name {
			return f.Value, true
		}
	}
	return nil, false
}

// Message is a turn of a conversation: an object with a role, a content, which is a string or a list of parts, and
// whatever else a template knows, as tool_calls.
type Message = Object

// Text is a message that has a role and a text and nothing else.
func Text(role, content string) Message {
	return Message{{"role", role}, {"content", content}}
}

// maxDepth limits how deep values nest in each other.
const maxDepth = 100

// UnmarshalJSON reads an object. Of fields of the same name the last counts, as in Python.
func (o *Object) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, err := decode(d, 0)
	if err != nil {
		return err
	}
	object, ok := value.(Object)
	if !ok {
		return fmt.Errorf("want an object, not %.40s", data)
	}
	*o = object
	return nil
}

func decode(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			item, err := decode(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		object, places := Object{}, map[string]int{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := decode(d, depth+1)
			if err != nil {
				return nil, err
			}
			if place, found := places[name.(string)]; found {
				object[place].Value = value
				continue
			}
			places[name.(string)] = len(object)
			object = append(object, Field{name.(string), value})
		}
		_, err = d.Token()
		return object, err
	}
	return token, nil
}

// MarshalJSON writes the fields in their order.
func (o Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// converter makes values for a template, with the texts in them marked.
type converter struct {
	mark func(string) string
	size int // of the texts in bytes
}

// text returns a text with its marks.
func (c *converter) text(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%.40q is no UTF-8", s)
	}
	c.size += len(s)
	return c.mark(s), nil
}

func (c *converter) value(v any, depth int) (jinja.Value, error) {
	if depth > maxDepth {
		return jinja.Undefined(), fmt.Errorf("nested more than %d deep", maxDepth)
	}
	c.size++
	switch v := v.(type) {
	case nil:
		return jinja.None(), nil
	case bool:
		return jinja.NewBool(v), nil
	case int:
		return jinja.NewInt(int64(v)), nil
	case int64:
		return jinja.NewInt(v), nil
	case float64:
		return jinja.NewFloat(v), nil
	case json.Number:
		return number(v)
	case string:
		s, err := c.text(v)
		return jinja.NewString(s), err
	case []any:
		items := make([]jinja.Value, len(v))
		for i, item := range v {
			value, err := c.value(item, depth+1)
			if err != nil {
				return jinja.Undefined(), fmt.Errorf("item %d: %w", i, err)
			}
			items[i] = value
		}
		return jinja.NewList(items), nil
	case Object:
		object := jinja.NewDict()
		for _, f := range v {
			value, err := c.value(f.Value, depth+1)
			if err != nil {
				return jinja.Undefined(), fmt.Errorf("%s: %w", f.Name, err)
			}
			name, err := c.text(f.Name)
			if err != nil {
				return jinja.Undefined(), err
			}
			object.AsDict().Set(name, value)
		}
		return object, nil
	}
	return jinja.Undefined(), fmt.Errorf("a value of the type %T; want nil, bool, int, int64, float64, json.Number, string, []any or chat.Object", v)
}

// number keeps integers and floating-point numbers apart, as Python does.
func number(n json.Number) (jinja.Value, error) {
	if !strings.ContainsAny(string(n), ".eE") {
		i, err := n.Int64()
		if err != nil {
			return jinja.Undefined(), fmt.Errorf("%s is no integer of 64 bits", n)
		}
		return jinja.NewInt(i), nil
	}
	f, err := n.Float64()
	return jinja.NewFloat(f), err
}

// messages converts a conversation. Roles stay as they are: a template makes control tokens of them, so they must be
// plain words.
func (c *converter) messages(messages []Message) (jinja.Value, error) {
	list := make([]jinja.Value, len(messages))
	for i, message := range messages {
		role, found := message.Get("role")
		name, ok := role.(string)
		if !found || !ok || !isRole(name) {
			return jinja.Undefined(), fmt.Errorf("message %d: the role %v is no word of letters, digits, _ and -", i, role)
		}
		value, err := c.value(message, 0)
		if err != nil {
			return jinja.Undefined(), fmt.Errorf("message %d: %w", i, err)
		}
		value.AsDict().Set(c.mark("role"), jinja.NewString(name))
		list[i] = value
	}
	return jinja.NewList(list), nil
}

// maxRole is the longest role, in bytes.
const maxRole = 64

func isRole(s string) bool {
	for _, c := range []byte(s) {
		if !(c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxRole
}
