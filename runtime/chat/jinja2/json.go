package jinja2

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ardanlabs/jinja"
)

// tojson is transformers' filter: Python's json.dumps with ensure_ascii false.
func tojson(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "ensure_ascii", "indent", "separators", "sort_keys"); err != nil {
		return jinja.Undefined(), err
	}
	w := jsonWriter{rendering: r, item: ", ", key: ": ", ascii: a.at(1, "ensure_ascii").IsTruthy(), sort: a.at(4, "sort_keys").IsTruthy()}
	switch indent := a.at(2, "indent"); {
	case indent.IsString():
		w.indent, w.lines = indent.AsString(), true
	case isInteger(indent):
		w.indent, w.lines = strings.Repeat(" ", int(max(0, min(integerOf(indent), 100)))), true
	case !indent.IsNone() && !indent.IsUndefined():
		return jinja.Undefined(), fmt.Errorf("an indent that is %s", kindOf(indent))
	}
	if w.lines {
		w.item = ","
	}
	if separators := a.at(3, "separators"); separators.IsList() {
		items := separators.AsList().Items
		if len(items) != 2 || !items[0].IsString() || !items[1].IsString() {
			return jinja.Undefined(), fmt.Errorf("separators that are not two texts")
		}
		w.item, w.key = items[0].AsString(), items[1].AsString()
	}
	if err := w.value(a.values[0], 0); err != nil {
		return jinja.Undefined(), err
	}
	return r.text(r.anew(w.String(), w.from))
}

type jsonWriter struct {
	*rendering
	strings.Builder
	item, key   string // separators
	indent      string
	lines       bool // each item on a line of its own
	ascii, sort bool
	from        string // a marked text that is in it, if there is any
}

func (w *jsonWriter) value(v jinja.Value, level int) error {
	if err := w.enter(); err != nil {
		return err
	}
	defer w.leave()
	if w.Len() > MaxOutput {
		return w.make(w.Len())
	}
	switch {
	case v.IsNone():
		w.WriteString("null")
	case v.IsBool():
		w.WriteString(strconv.FormatBool(v.AsBool()))
	case v.IsInt():
		w.WriteString(strconv.FormatInt(v.AsInt(), 10))
	case v.IsFloat():
		switch f := v.AsFloat(); {
		case math.IsNaN(f):
			w.WriteString("NaN")
		case math.IsInf(f, 0):
			w.WriteString(map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0])
		default:
			w.WriteString(floatText(f))
		}
	case v.IsString():
		return w.quoted(v.AsString())
	case v.IsList():
		items := v.AsList().Items
		return w.block("[]", len(items), level, func(i int) error { return w.value(items[i], level+1) })
	case v.IsDict() && !w.namespaces[v.AsDict()]:
		return w.object(v.AsDict(), level)
	default:
		return fmt.Errorf("%s is no JSON", kindOf(v))
	}
	return nil
}

// names are the keys of JSON that Python writes for keys that are no texts.
var names = map[string]string{"None": "null", "True": "true", "False": "false"}

func (w *jsonWriter) object(d *jinja.Dict, level int) error {
	keys, err := w.keysOf(d)
	if err != nil {
		return err
	}
	places := make([]int, len(keys))
	for i := range places {
		places[i] = i
	}
	if w.sort {
		if places, err = w.sorted(keys, false); err != nil {
			return err
		}
	}
	return w.block("{}", len(keys), level, func(i int) error {
		place := places[i]
		key := d.Keys[place]
		if name, found := names[key]; found && !keys[place].IsString() {
			key = name
		}
		if err := w.quoted(key); err != nil {
			return err
		}
		w.WriteString(w.key)
		return w.value(d.Data[d.Keys[place]], level+1)
	})
}

func (w *jsonWriter) block(brackets string, count, level int, write func(int) error) error {
	w.WriteByte(brackets[0])
	for i := range count {
		if i > 0 {
			w.WriteString(w.item)
		}
		w.newLine(level + 1)
		if err := write(i); err != nil {
			return err
		}
	}
	if count > 0 {
		w.newLine(level)
	}
	w.WriteByte(brackets[1])
	return w.make(len(w.indent) * level)
}

func (w *jsonWriter) newLine(level int) {
	if w.lines {
		w.WriteString("\n" + strings.Repeat(w.indent, level))
	}
}

// jsonEscapes are those of one letter; other control characters are written by number.
var jsonEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}

func (w *jsonWriter) quoted(s string) error {
	if w.marked(s) {
		w.from = s
		s = w.plain(s)
	}
	if err := w.make(len(s)); err != nil {
		return err
	}
	w.WriteByte('"')
	for _, char := range s {
		short, found := jsonEscapes[char]
		switch {
		case found:
			w.WriteString(short)
		case char < ' ' || w.ascii && char > '~' && char < 0x10000:
			fmt.Fprintf(w, `\u%04x`, char)
		case w.ascii && char >= 0x10000:
			char -= 0x10000
			fmt.Fprintf(w, `\u%04x\u%04x`, 0xd800+char>>10, 0xdc00+char&0x3ff)
		default:
			w.WriteRune(char)
		}
	}
	w.WriteByte('"')
	return nil
}
