package jinja2

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// Methods of texts, lists and mappings. Those that would change a value are refused, as transformers' sandbox does.
var (
	stringMethods map[string]func(*rendering, string, arguments) (jinja.Value, error)
	listMethods   map[string]func(*rendering, *jinja.List, arguments) (jinja.Value, error)
	dictMethods   map[string]func(*rendering, *jinja.Dict, arguments) (jinja.Value, error)
)

var errChange = errors.New("a template cannot change a value")

func init() {
	stringMethods = map[string]func(*rendering, string, arguments) (jinja.Value, error){
		"strip":        stripMethod(true, true),
		"lstrip":       stripMethod(true, false),
		"rstrip":       stripMethod(false, true),
		"split":        splitMethod(false),
		"rsplit":       splitMethod(true),
		"splitlines":   splitLines,
		"startswith":   affixMethod(strings.HasPrefix),
		"endswith":     affixMethod(strings.HasSuffix),
		"removeprefix": removeMethod(true),
		"removesuffix": removeMethod(false),
		"find":         findMethod(strings.Index),
		"rfind":        findMethod(strings.LastIndex),
		"count":        countMethod,
		"partition":    partitionMethod(false),
		"rpartition":   partitionMethod(true),
		"replace":      replaceMethod,
		"join":         joinMethod,
		"upper":        casingMethod(strings.ToUpper),
		"lower":        casingMethod(strings.ToLower),
		"title":        casingMethod(titlePython),
		"capitalize":   casingMethod(capitalize),
		"isdigit":      classMethod(isDigit),
		"isdecimal":    classMethod(isDigit),
		"isnumeric":    classMethod(isDigit),
		"isalpha":      classMethod(isLetter),
		"isalnum":      classMethod(func(c rune) bool { return isLetter(c) || isDigit(c) }),
		"isspace":      classMethod(IsSpace),
		"isupper":      func(r *rendering, s string, _ arguments) (jinja.Value, error) { return testMethod(r, "upper", s) },
		"islower":      func(r *rendering, s string, _ arguments) (jinja.Value, error) { return testMethod(r, "lower", s) },
		"format":       formatMethod,
	}
	listMethods = map[string]func(*rendering, *jinja.List, arguments) (jinja.Value, error){
		"index": indexMethod,
		"count": listCountMethod,
	}
	for _, name := range []string{"append", "insert", "pop", "clear", "extend", "remove", "reverse", "sort"} {
		listMethods[name] = func(*rendering, *jinja.List, arguments) (jinja.Value, error) { return jinja.Undefined(), errChange }
	}
	dictMethods = map[string]func(*rendering, *jinja.Dict, arguments) (jinja.Value, error){
		"get":    getMethod,
		"items":  pairs,
		"keys":   keysMethod,
		"values": valuesMethod,
	}
	for _, name := range []string{"clear", "pop", "popitem", "setdefault", "update"} {
		dictMethods[name] = func(*rendering, *jinja.Dict, arguments) (jinja.Value, error) { return jinja.Undefined(), errChange }
	}
}

// method returns a method of a value.
func (r *rendering) method(v jinja.Value, name string) (jinja.Value, bool) {
	switch {
	case v.IsString():
		if f, found := stringMethods[name]; found {
			return bound(r, name, v.AsString(), f), true
		}
	case v.IsList():
		if f, found := listMethods[name]; found {
			return bound(r, name, v.AsList(), f), true
		}
	case r.isMapping(v):
		if f, found := dictMethods[name]; found {
			return bound(r, name, v.AsDict(), f), true
		}
	}
	return jinja.Undefined(), false
}

func bound[T any](r *rendering, name string, value T, f func(*rendering, T, arguments) (jinja.Value, error)) jinja.Value {
	return r.function(name, func(r *rendering, a arguments) (jinja.Value, error) { return f(r, value, a) })
}

// textAt is an argument that must be a text.
func (a arguments) textAt(place int, name string) (string, error) {
	v := a.at(place, name)
	if !v.IsString() {
		return "", fmt.Errorf("the argument %q is %s, not a string", name, kindOf(v))
	}
	return v.AsString(), nil
}

// integerAt is an argument that is an integer, or absent.
func (a arguments) integerAt(place int, name string, absent int) (int, error) {
	switch v := a.at(place, name); {
	case isInteger(v):
		return int(integerOf(v)), nil
	case v.IsUndefined() || v.IsNone():
		return absent, nil
	default:
		return 0, fmt.Errorf("the argument %q is %s, not an integer", name, kindOf(v))
	}
}

// characterSet is an argument of strip: characters, or white space if it is absent.
func (r *rendering) characterSet(v jinja.Value) (func(rune) bool, error) {
	switch {
	case v.IsUndefined() || v.IsNone():
		return IsSpace, nil
	case v.IsString():
		set := r.plain(v.AsString())
		return func(c rune) bool { return strings.ContainsRune(set, c) }, r.spend(len(set))
	}
	return nil, fmt.Errorf("the characters are %s", kindOf(v))
}

func stripMethod(left, right bool) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, a arguments) (jinja.Value, error) {
		if err := a.check(0, "chars"); err != nil {
			return jinja.Undefined(), err
		}
		set, err := r.characterSet(a.at(0, "chars"))
		if err != nil {
			return jinja.Undefined(), err
		}
		return r.text(r.trim(s, left, right, set))
	}
}

func splitMethod(right bool) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, a arguments) (jinja.Value, error) {
		if err := a.check(0, "sep", "maxsplit"); err != nil {
			return jinja.Undefined(), err
		}
		limit, err := a.integerAt(1, "maxsplit", -1)
		if err != nil {
			return jinja.Undefined(), err
		}
		if separator := a.at(0, "sep"); separator.IsUndefined() || separator.IsNone() {
			if err := r.makeItems(len(s)/2 + 1); err != nil {
				return jinja.Undefined(), err
			}
			return r.texts(r.fields(s, limit, right))
		}
		separator, err := a.textAt(0, "sep")
		if err == nil && separator == "" {
			err = errors.New("an empty separator")
		}
		if err == nil {
			err = r.makeItems(strings.Count(r.plain(s), r.plain(separator)) + 1)
		}
		if err == nil {
			err = r.make(len(s))
		}
		if err != nil {
			return jinja.Undefined(), err
		}
		return r.texts(r.split(s, separator, limit, right))
	}
}

// partitionMethod cuts a text in three at the first separator, or the last.
func partitionMethod(right bool) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, a arguments) (jinja.Value, error) {
		if err := a.check(1, "sep"); err != nil {
			return jinja.Undefined(), err
		}
		separator, err := a.textAt(0, "sep")
		if err == nil && separator == "" {
			err = errors.New("an empty separator")
		}
		if err == nil {
			err = r.make(len(s))
		}
		if err != nil {
			return jinja.Undefined(), err
		}
		parts := []string{s, "", ""}
		if right {
			parts = []string{"", "", s}
		}
		if pieces := r.split(s, separator, 1, right); len(pieces) == 2 {
			parts = []string{pieces[0], separator, pieces[1]}
		}
		return r.tuple(jinja.NewString(parts[0]), jinja.NewString(parts[1]), jinja.NewString(parts[2])), nil
	}
}

func splitLines(r *rendering, s string, a arguments) (jinja.Value, error) {
	if err := a.check(0, "keepends"); err != nil {
		return jinja.Undefined(), err
	}
	if a.at(0, "keepends").IsTruthy() {
		return jinja.Undefined(), errors.New("keepends is not supported")
	}
	s = r.replace(r.replace(s, "\r\n", "\n", -1), "\r", "\n", -1)
	lines := r.split(s, "\n", -1, false)
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if err := r.make(len(s)); err != nil {
		return jinja.Undefined(), err
	}
	return r.texts(lines)
}

// affixMethod takes a text, or a list of which one is enough.
func affixMethod(has func(s, affix string) bool) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, a arguments) (jinja.Value, error) {
		if err := a.check(1, "affix"); err != nil {
			return jinja.Undefined(), err
		}
		affixes := []jinja.Value{a.values[0]}
		if affixes[0].IsList() {
			affixes = affixes[0].AsList().Items
		}
		s = r.plain(s)
		for _, affix := range affixes {
			if !affix.IsString() {
				return jinja.Undefined(), fmt.Errorf("an affix that is %s", kindOf(affix))
			}
			if has(s, r.plain(affix.AsString())) {
				return jinja.NewBool(true), nil
			}
		}
		return jinja.NewBool(false), r.spend(len(s) + len(affixes))
	}
}

func removeMethod(prefix bool) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, a arguments) (jinja.Value, error) {
		affix, err := a.textAt(0, "affix")
		if err != nil {
			return jinja.Undefined(), err
		}
		c := r.cutter(s)
		affix = r.plain(affix)
		switch {
		case prefix && strings.HasPrefix(c.plain, affix):
			s = c.cut(len(affix), len(c.plain))
		case !prefix && strings.HasSuffix(c.plain, affix):
			s = c.cut(0, len(c.plain)-len(affix))
		}
		return r.text(s)
	}
}

func findMethod(index func(s, part string) int) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, a arguments) (jinja.Value, error) {
		if err := a.check(1, "sub"); err != nil {
			return jinja.Undefined(), err
		}
		part, err := a.textAt(0, "sub")
		if err != nil {
			return jinja.Undefined(), err
		}
		s = r.plain(s)
		at := index(s, r.plain(part))
		if at > 0 {
			at = utf8.RuneCountInString(s[:at])
		}
		return jinja.NewInt(int64(at)), r.spend(len(s))
	}
}

func countMethod(r *rendering, s string, a arguments) (jinja.Value, error) {
	if err := a.check(1, "sub"); err != nil {
		return jinja.Undefined(), err
	}
	part, err := a.textAt(0, "sub")
	return jinja.NewInt(int64(strings.Count(r.plain(s), r.plain(part)))), errors.Join(err, r.spend(len(s)))
}

func replaceMethod(r *rendering, s string, a arguments) (jinja.Value, error) {
	if err := a.check(2, "old", "new", "count"); err != nil {
		return jinja.Undefined(), err
	}
	old, err := a.textAt(0, "old")
	if err != nil {
		return jinja.Undefined(), err
	}
	with, err := a.textAt(1, "new")
	if err != nil {
		return jinja.Undefined(), err
	}
	limit, err := a.integerAt(2, "count", -1)
	if err != nil {
		return jinja.Undefined(), err
	}
	return r.replaced(s, old, with, limit)
}

func (r *rendering) replaced(s, old, with string, limit int) (jinja.Value, error) {
	found := strings.Count(r.plain(s), r.plain(old))
	if limit >= 0 {
		found = min(found, limit)
	}
	if len(with) > 0 && found > MaxOutput/len(with) {
		return jinja.Undefined(), r.make(MaxOutput + 1)
	}
	if err := errors.Join(r.make(len(s)+found*len(with)), r.makeItems(found)); err != nil {
		return jinja.Undefined(), err
	}
	return jinja.NewString(r.replace(s, old, with, limit)), nil
}

func joinMethod(r *rendering, s string, a arguments) (jinja.Value, error) {
	if err := a.check(1, "iterable"); err != nil {
		return jinja.Undefined(), err
	}
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	for _, item := range items {
		if !item.IsString() {
			return jinja.Undefined(), fmt.Errorf("%s cannot be joined", kindOf(item))
		}
	}
	return r.join(items, s)
}

// join puts texts together with a separator.
func (r *rendering) join(items []jinja.Value, separator string) (jinja.Value, error) {
	texts, size := make([]string, len(items)), 0
	for i, item := range items {
		s, err := r.string(item)
		if err != nil {
			return jinja.Undefined(), err
		}
		texts[i] = s
		if size += len(s) + len(separator); size > 2*MaxOutput {
			break
		}
	}
	if err := r.make(max(0, size-len(separator))); err != nil {
		return jinja.Undefined(), err
	}
	return jinja.NewString(strings.Join(texts, separator)), nil
}

func casingMethod(change func(string) string) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, a arguments) (jinja.Value, error) {
		if err := a.check(0); err != nil {
			return jinja.Undefined(), err
		}
		return r.text(r.anew(change(r.plain(s)), s))
	}
}

func classMethod(in func(rune) bool) func(*rendering, string, arguments) (jinja.Value, error) {
	return func(r *rendering, s string, _ arguments) (jinja.Value, error) {
		s = r.plain(s)
		out := strings.IndexFunc(s, func(c rune) bool { return !in(c) })
		return jinja.NewBool(s != "" && out < 0), r.spend(len(s))
	}
}

func testMethod(r *rendering, name, s string) (jinja.Value, error) {
	holds, err := r.test(name, jinja.NewString(s), nil)
	return jinja.NewBool(holds), err
}

// formatMethod is str.format with {} and {0}, without conversions and formats.
func formatMethod(r *rendering, s string, a arguments) (jinja.Value, error) {
	var b strings.Builder
	marked := []string{s}
	place := 0
	for rest := r.plain(s); rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:open])
		rest = rest[open:]
		if len(rest) > 1 && rest[1] == rest[0] {
			b.WriteByte(rest[0])
			rest = rest[2:]
			continue
		}
		field, after, found := strings.Cut(rest[1:], "}")
		if rest[0] == '}' || !found || strings.ContainsAny(field, "!:.[{") {
			return jinja.Undefined(), fmt.Errorf("the field %.20q is not supported", rest)
		}
		rest = after
		v, given := a.named[field]
		if field == "" {
			field = fmt.Sprint(place)
			place++
		}
		if at := strings.IndexByte("0123456789", field[0]); len(field) == 1 && at >= 0 && at < len(a.values) {
			v, given = a.values[at], true
		}
		if !given {
			return jinja.Undefined(), fmt.Errorf("no argument for the field %q", field)
		}
		text, err := r.string(v)
		if err != nil {
			return jinja.Undefined(), err
		}
		if err := r.make(len(text)); err != nil {
			return jinja.Undefined(), err
		}
		marked = append(marked, text)
		b.WriteString(r.plain(text))
	}
	return r.text(r.anew(b.String(), marked...))
}

func indexMethod(r *rendering, l *jinja.List, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value"); err != nil {
		return jinja.Undefined(), err
	}
	for i, item := range l.Items {
		if same, err := r.equal(item, a.values[0]); same || err != nil {
			return jinja.NewInt(int64(i)), err
		}
	}
	return jinja.Undefined(), errors.New("the value is not in the list")
}

func listCountMethod(r *rendering, l *jinja.List, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value"); err != nil {
		return jinja.Undefined(), err
	}
	count := int64(0)
	for _, item := range l.Items {
		same, err := r.equal(item, a.values[0])
		if err != nil {
			return jinja.Undefined(), err
		}
		if same {
			count++
		}
	}
	return jinja.NewInt(count), nil
}

func getMethod(r *rendering, d *jinja.Dict, a arguments) (jinja.Value, error) {
	if err := a.check(1, "key", "default"); err != nil {
		return jinja.Undefined(), err
	}
	if v, found := r.key(d, a.values[0]); found {
		return v, nil
	}
	if len(a.values) < 2 {
		return jinja.None(), nil
	}
	return a.values[1], nil
}

// pairs are the keys and values of a mapping.
func pairs(r *rendering, d *jinja.Dict, _ arguments) (jinja.Value, error) {
	keys, err := r.keysOf(d)
	if err == nil {
		err = r.makeItems(3 * len(keys))
	}
	if err != nil {
		return jinja.Undefined(), err
	}
	items := make([]jinja.Value, len(keys))
	for i, key := range keys {
		items[i] = r.tuple(key, d.Data[d.Keys[i]])
	}
	return jinja.NewList(items), nil
}

func keysMethod(r *rendering, d *jinja.Dict, _ arguments) (jinja.Value, error) {
	keys, err := r.keysOf(d)
	return jinja.NewList(keys), err
}

func valuesMethod(r *rendering, d *jinja.Dict, _ arguments) (jinja.Value, error) {
	if err := r.makeItems(len(d.Keys)); err != nil {
		return jinja.Undefined(), err
	}
	items := make([]jinja.Value, len(d.Keys))
	for i, key := range d.Keys {
		items[i] = d.Data[key]
	}
	return jinja.NewList(items), nil
}
