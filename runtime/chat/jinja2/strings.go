package jinja2

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/ardanlabs/jinja"
)

// string is Python's str of a value, and what a template writes for it.
func (r *rendering) string(v jinja.Value) (string, error) {
	switch {
	case v.IsUndefined():
		return "", nil
	case v.IsString():
		return v.AsString(), nil
	}
	w := spelling{rendering: r}
	err := w.value(v)
	return r.anew(w.String(), w.from), err
}

// plainText is the text of a string, number or none as a key of a mapping.
func (r *rendering) plainText(v jinja.Value) string {
	s, _ := r.string(v)
	return s
}

// spelling writes a value as Python's repr does.
type spelling struct {
	*rendering
	strings.Builder
	from string // a marked text that is in it, if there is any
}

func (w *spelling) value(v jinja.Value) error {
	if err := w.enter(); err != nil {
		return err
	}
	defer w.leave()
	if w.Len() > MaxOutput {
		return w.make(w.Len())
	}
	switch {
	case isGenerator(v):
		return fmt.Errorf("a generator has no text; put the filter list behind it")
	case v.IsUndefined():
		w.WriteString("Undefined")
	case v.IsNone():
		w.WriteString("None")
	case v.IsBool():
		w.WriteString(map[bool]string{true: "True", false: "False"}[v.AsBool()])
	case v.IsInt():
		w.WriteString(strconv.FormatInt(v.AsInt(), 10))
	case v.IsFloat():
		w.WriteString(floatText(v.AsFloat()))
	case v.IsString():
		return w.quoted(v.AsString())
	case v.IsList():
		tuple := w.tuples[v.AsList()]
		w.WriteString(map[bool]string{false: "[", true: "("}[tuple])
		for i, item := range v.AsList().Items {
			if i > 0 {
				w.WriteString(", ")
			}
			if err := w.value(item); err != nil {
				return err
			}
		}
		switch {
		case !tuple:
			w.WriteString("]")
		case len(v.AsList().Items) == 1:
			w.WriteString(",)")
		default:
			w.WriteString(")")
		}
	case v.IsDict() && !w.namespaces[v.AsDict()]:
		keys, err := w.keysOf(v.AsDict())
		if err != nil {
			return err
		}
		w.WriteByte('{')
		for i, key := range keys {
			if i > 0 {
				w.WriteString(", ")
			}
			if err := w.value(key); err != nil {
				return err
			}
			w.WriteString(": ")
			if err := w.value(v.AsDict().Data[v.AsDict().Keys[i]]); err != nil {
				return err
			}
		}
		w.WriteByte('}')
	default:
		return fmt.Errorf("%s has no text", kindOf(v))
	}
	return nil
}

// pythonEscapes are those of one letter in Python's repr.
var pythonEscapes = map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`, '\\': `\\`}

// quoted writes a text in single quotes, or in double ones if only single ones are in it.
func (w *spelling) quoted(s string) error {
	if w.marked(s) {
		w.from = s
		s = w.plain(s)
	}
	if err := w.make(len(s)); err != nil {
		return err
	}
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	w.WriteRune(quote)
	for _, char := range s {
		short, found := pythonEscapes[char]
		switch {
		case found:
			w.WriteString(short)
		case char == quote:
			w.WriteRune('\\')
			w.WriteRune(char)
		case char == ' ' || unicode.IsPrint(char):
			w.WriteRune(char)
		case char < 0x100:
			fmt.Fprintf(w, `\x%02x`, char)
		case char < 0x10000:
			fmt.Fprintf(w, `\u%04x`, char)
		default:
			fmt.Fprintf(w, `\U%08x`, char)
		}
	}
	w.WriteRune(quote)
	return nil
}

// format is Python's text % values, with the conversions s, r, d, i, f, x and %, and flags, width and precision.
func (r *rendering) format(format string, values []jinja.Value) (jinja.Value, error) {
	var b strings.Builder
	marked := []string{format}
	for rest := r.plain(format); rest != ""; {
		text, directive, found := strings.Cut(rest, "%")
		b.WriteString(text)
		if !found {
			break
		}
		verb := strings.IndexFunc(directive, func(c rune) bool { return !strings.ContainsRune("-+ #0123456789.", c) })
		if verb < 0 || verb > 8 {
			return jinja.Undefined(), fmt.Errorf("%%%.8s is no conversion", directive)
		}
		flags, conversion := directive[:verb], directive[verb]
		rest = directive[verb+1:]
		if conversion == '%' {
			b.WriteByte('%')
			continue
		}
		if len(values) == 0 {
			return jinja.Undefined(), fmt.Errorf("too few values for the text")
		}
		if len(strings.Trim(flags, "-+ #0")) > 4 {
			return jinja.Undefined(), fmt.Errorf("%%%s is too wide", flags)
		}
		piece, err := r.convert(flags, conversion, values[0])
		if err != nil {
			return jinja.Undefined(), err
		}
		if err := r.make(len(piece)); err != nil {
			return jinja.Undefined(), err
		}
		marked = append(marked, piece)
		b.WriteString(r.plain(piece))
		values = values[1:]
	}
	if len(values) > 0 {
		return jinja.Undefined(), fmt.Errorf("too many values for the text")
	}
	return r.text(r.anew(b.String(), marked...))
}

func (r *rendering) convert(flags string, conversion byte, v jinja.Value) (string, error) {
	switch conversion {
	case 's':
		s, err := r.string(v)
		return r.anew(fmt.Sprintf("%"+flags+"s", r.plain(s)), s), err
	case 'r':
		w := spelling{rendering: r}
		err := w.value(v)
		return r.anew(fmt.Sprintf("%"+flags+"s", w.String()), w.from), err
	case 'd', 'i', 'x', 'X':
		if !isNumber(v) {
			return "", fmt.Errorf("%%%c of %s", conversion, kindOf(v))
		}
		n := integerOf(v)
		if v.IsFloat() {
			n = int64(v.AsFloat())
		}
		if conversion == 'i' {
			conversion = 'd'
		}
		return fmt.Sprintf("%"+flags+string(conversion), n), nil
	case 'f', 'e', 'g':
		if !isNumber(v) {
			return "", fmt.Errorf("%%%c of %s", conversion, kindOf(v))
		}
		return fmt.Sprintf("%"+flags+string(conversion), numberOf(v)), nil
	}
	return "", fmt.Errorf("%%%c is no conversion", conversion)
}
