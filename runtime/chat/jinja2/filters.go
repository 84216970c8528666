package jinja2

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// filters are Jinja2's, and transformers' tojson. The first argument is the value before the filter.
var filters map[string]callable

func init() {
	filters = map[string]callable{
		"tojson": tojson,

		"string":     textFilter(func(_ *rendering, s string) string { return s }),
		"safe":       textFilter(func(_ *rendering, s string) string { return s }),
		"upper":      textFilter(func(r *rendering, s string) string { return r.anew(strings.ToUpper(r.plain(s)), s) }),
		"lower":      textFilter(func(r *rendering, s string) string { return r.anew(strings.ToLower(r.plain(s)), s) }),
		"capitalize": textFilter(func(r *rendering, s string) string { return r.anew(capitalize(r.plain(s)), s) }),
		"title":      textFilter(func(r *rendering, s string) string { return r.anew(titleFilter(r.plain(s)), s) }),
		"escape":     textFilter(escape),
		"e":          textFilter(escape),
		"trim":       trimFilter,
		"replace":    replaceFilter,
		"indent":     indent,
		"format":     formatFilter,
		"wordcount":  wordcount,

		"default": defaultFilter,
		"d":       defaultFilter,
		"int":     intFilter,
		"float":   floatFilter,
		"abs":     abs,
		"round":   round,

		"length":   length,
		"count":    length,
		"first":    first,
		"last":     last,
		"list":     listFilter,
		"reverse":  reverse,
		"join":     joinFilter,
		"sort":     sortFilter,
		"unique":   unique,
		"min":      extreme(-1),
		"max":      extreme(1),
		"sum":      sum,
		"batch":    batch,
		"items":    itemsFilter,
		"dictsort": dictsort,

		"attr":       attr,
		"map":        mapFilter,
		"select":     selecting(false, true),
		"reject":     selecting(false, false),
		"selectattr": selecting(true, true),
		"rejectattr": selecting(true, false),
	}
}

// textFilter makes a text of a value and another of it.
func textFilter(change func(*rendering, string) string) callable {
	return func(r *rendering, a arguments) (jinja.Value, error) {
		if err := a.check(1, "s"); err != nil {
			return jinja.Undefined(), err
		}
		s, err := r.string(a.values[0])
		if err != nil {
			return jinja.Undefined(), err
		}
		return r.text(change(r, s))
	}
}

var entities = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;")

func escape(r *rendering, s string) string { return r.anew(entities.Replace(r.plain(s)), s) }

func trimFilter(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "chars"); err != nil {
		return jinja.Undefined(), err
	}
	s, err := r.string(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	set, err := r.characterSet(a.at(1, "chars"))
	if err != nil {
		return jinja.Undefined(), err
	}
	return r.text(r.trim(s, true, true, set))
}

func replaceFilter(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(3, "s", "old", "new", "count"); err != nil {
		return jinja.Undefined(), err
	}
	var texts [3]string
	for i, name := range []string{"s", "old", "new"} {
		s, err := r.string(a.at(i, name))
		if err != nil {
			return jinja.Undefined(), err
		}
		texts[i] = s
	}
	limit, err := a.integerAt(3, "count", -1)
	if err != nil {
		return jinja.Undefined(), err
	}
	return r.replaced(texts[0], texts[1], texts[2], limit)
}

// indent puts white space before all lines, but by default not before the first and before empty ones.
func indent(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "s", "width", "first", "blank"); err != nil {
		return jinja.Undefined(), err
	}
	s, err := r.string(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	indention := ""
	if width := a.at(1, "width"); width.IsString() {
		indention = width.AsString()
	} else {
		n, err := a.integerAt(1, "width", 4)
		if err != nil {
			return jinja.Undefined(), err
		}
		if n > MaxOutput {
			return jinja.Undefined(), r.make(n)
		}
		indention = strings.Repeat(" ", max(0, n))
	}
	lines := strings.Split(s, "\n")
	if len(indention) > 0 && len(lines) > MaxOutput/len(indention) {
		return jinja.Undefined(), r.make(MaxOutput + 1)
	}
	if err := r.make(len(s) + len(lines)*len(indention)); err != nil {
		return jinja.Undefined(), err
	}
	for i, line := range lines {
		if i == 0 && !a.at(2, "first").IsTruthy() || i > 0 && r.plain(line) == "" && !a.at(3, "blank").IsTruthy() {
			continue
		}
		lines[i] = indention + line
	}
	return jinja.NewString(strings.Join(lines, "\n")), nil
}

func formatFilter(r *rendering, a arguments) (jinja.Value, error) {
	s, err := r.string(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	if len(a.named) > 0 {
		return jinja.Undefined(), errors.New("named arguments are not supported")
	}
	return r.format(s, a.values[1:])
}

func wordcount(r *rendering, a arguments) (jinja.Value, error) {
	s, err := r.string(a.values[0])
	inside, words := false, int64(0)
	for _, c := range r.plain(s) {
		word := isLetter(c) || isDigit(c) || c == '_'
		if word && !inside {
			words++
		}
		inside = word
	}
	return jinja.NewInt(words), errors.Join(err, r.spend(len(s)))
}

func defaultFilter(_ *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "default_value", "boolean"); err != nil {
		return jinja.Undefined(), err
	}
	v := a.values[0]
	if !v.IsUndefined() && (v.IsTruthy() || !a.at(2, "boolean").IsTruthy()) {
		return v, nil
	}
	if other := a.at(1, "default_value"); !other.IsUndefined() || len(a.values) > 1 {
		return other, nil
	}
	return jinja.NewString(""), nil
}

func intFilter(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "default", "base"); err != nil {
		return jinja.Undefined(), err
	}
	switch v := a.values[0]; {
	case v.IsUndefined():
		return v, errors.New("an undefined value is no integer")
	case v.IsFloat() && math.Abs(v.AsFloat()) < 1<<62:
		return jinja.NewInt(int64(v.AsFloat())), nil
	case isInteger(v):
		return jinja.NewInt(integerOf(v)), nil
	case v.IsString():
		s := strings.TrimFunc(r.plain(v.AsString()), IsSpace)
		base, err := a.integerAt(2, "base", 10)
		if err != nil {
			return jinja.Undefined(), err
		}
		if base < 2 || base > 36 {
			return jinja.Undefined(), fmt.Errorf("a base of %d", base)
		}
		digits := s
		if prefix := map[int]string{16: "0x", 8: "0o", 2: "0b"}[base]; prefix != "" {
			digits = strings.TrimPrefix(strings.ToLower(s), prefix)
		}
		if n, err := strconv.ParseInt(digits, base, 64); err == nil {
			return jinja.NewInt(n), nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
			return jinja.NewInt(int64(f)), nil
		}
	}
	if other := a.at(1, "default"); !other.IsUndefined() {
		return other, nil
	}
	return jinja.NewInt(0), nil
}

func floatFilter(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "default"); err != nil {
		return jinja.Undefined(), err
	}
	switch v := a.values[0]; {
	case v.IsUndefined():
		return v, errors.New("an undefined value is no number")
	case isNumber(v):
		return jinja.NewFloat(numberOf(v)), nil
	case v.IsString():
		if f, err := strconv.ParseFloat(strings.TrimFunc(r.plain(v.AsString()), IsSpace), 64); err == nil {
			return jinja.NewFloat(f), nil
		}
	}
	if other := a.at(1, "default"); !other.IsUndefined() {
		return other, nil
	}
	return jinja.NewFloat(0), nil
}

func abs(r *rendering, a arguments) (jinja.Value, error) {
	if v := a.values[0]; isNumber(v) && numberOf(v) < 0 {
		return negate(r, a)
	}
	return positive(r, a)
}

func round(_ *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "precision", "method"); err != nil {
		return jinja.Undefined(), err
	}
	v := a.values[0]
	precision, err := a.integerAt(1, "precision", 0)
	if err == nil && !isNumber(v) {
		err = fmt.Errorf("%s cannot be rounded", kindOf(v))
	}
	if err == nil && (precision < 0 || precision > 15) {
		err = fmt.Errorf("a precision of %d", precision)
	}
	if err != nil {
		return jinja.Undefined(), err
	}
	method := "common"
	if m := a.at(2, "method"); m.IsString() {
		method = m.AsString()
	}
	scale := math.Pow10(precision)
	switch method {
	case "common":
		if isInteger(v) {
			return jinja.NewInt(integerOf(v)), nil
		}
		// Python's round is that of the decimal spelling, ties to even.
		f, err := strconv.ParseFloat(strconv.FormatFloat(numberOf(v), 'f', precision, 64), 64)
		return jinja.NewFloat(f), err
	case "ceil":
		return jinja.NewFloat(math.Ceil(numberOf(v)*scale) / scale), nil
	case "floor":
		return jinja.NewFloat(math.Floor(numberOf(v)*scale) / scale), nil
	}
	return jinja.Undefined(), fmt.Errorf("a method %q", method)
}

func length(r *rendering, a arguments) (jinja.Value, error) {
	switch v := a.values[0]; {
	case v.IsUndefined():
		return jinja.NewInt(0), nil
	case v.IsString():
		s := v.AsString()
		return jinja.NewInt(int64(utf8.RuneCountInString(r.plain(s)))), r.spend(len(s))
	case v.IsList():
		return jinja.NewInt(int64(v.AsList().Len())), nil
	case r.isMapping(v):
		return jinja.NewInt(int64(v.AsDict().Len())), nil
	default:
		return jinja.Undefined(), fmt.Errorf("%s has no length", kindOf(v))
	}
}

func first(r *rendering, a arguments) (jinja.Value, error) {
	items, err := r.items(a.values[0])
	if err != nil || len(items) == 0 {
		return jinja.Undefined(), err
	}
	return items[0], nil
}

func last(r *rendering, a arguments) (jinja.Value, error) {
	if isGenerator(a.values[0]) {
		return jinja.Undefined(), errors.New("a generator has no last item")
	}
	items, err := r.items(a.values[0])
	if err != nil || len(items) == 0 {
		return jinja.Undefined(), err
	}
	return items[len(items)-1], nil
}

func listFilter(r *rendering, a arguments) (jinja.Value, error) {
	items, err := r.items(a.values[0])
	if err == nil {
		err = r.makeItems(len(items))
	}
	return jinja.NewList(slices.Clone(items)), err
}

func reverse(r *rendering, a arguments) (jinja.Value, error) {
	v := a.values[0]
	items, err := r.items(v)
	if err == nil {
		err = r.makeItems(len(items))
	}
	if err != nil {
		return jinja.Undefined(), err
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	if v.IsString() {
		return r.join(items, "")
	}
	return generator(items), nil
}

// attributeOf returns what lies under a path with points, as "function.name"; absent takes the place of what is undefined.
func (r *rendering) attributeOf(v, path, absent jinja.Value) (jinja.Value, error) {
	if isInteger(path) {
		return item(r, arguments{values: []jinja.Value{v, path}})
	}
	if !path.IsString() {
		return jinja.Undefined(), fmt.Errorf("an attribute that is %s", kindOf(path))
	}
	for part := range strings.SplitSeq(path.AsString(), ".") {
		key := jinja.NewString(part)
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			key = jinja.NewInt(n)
		}
		var err error
		if v, err = item(r, arguments{values: []jinja.Value{v, key}}); err != nil {
			return jinja.Undefined(), err
		}
		if v.IsUndefined() {
			v = absent
		}
	}
	return v, nil
}

// attributes returns the values at a path; the items themselves if there is no path.
func (r *rendering) attributes(items []jinja.Value, path jinja.Value) ([]jinja.Value, error) {
	if path.IsUndefined() || path.IsNone() {
		return items, nil
	}
	if err := r.makeItems(len(items)); err != nil {
		return nil, err
	}
	values := make([]jinja.Value, len(items))
	for i, item := range items {
		v, err := r.attributeOf(item, path, jinja.Undefined())
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func joinFilter(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "d", "attribute"); err != nil {
		return jinja.Undefined(), err
	}
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	if items, err = r.attributes(items, a.at(2, "attribute")); err != nil {
		return jinja.Undefined(), err
	}
	separator, err := r.string(a.at(1, "d"))
	if err != nil {
		return jinja.Undefined(), err
	}
	return r.join(items, separator)
}

// sortKeys are what sort and its like compare: without regard to case, unless it is asked for.
func (r *rendering) sortKeys(items []jinja.Value, path, caseSensitive jinja.Value) ([]jinja.Value, error) {
	values, err := r.attributes(items, path)
	if err != nil || caseSensitive.IsTruthy() {
		return values, err
	}
	keys := make([]jinja.Value, len(values))
	for i, v := range values {
		keys[i] = v
		if v.IsString() {
			keys[i] = jinja.NewString(strings.ToLower(r.plain(v.AsString())))
			if err := r.make(len(v.AsString())); err != nil {
				return nil, err
			}
		}
	}
	return keys, r.makeItems(len(keys))
}

// sorted returns the order of keys.
func (r *rendering) sorted(keys []jinja.Value, reverse bool) ([]int, error) {
	places := make([]int, len(keys))
	for i := range places {
		places[i] = i
	}
	var failed error
	slices.SortStableFunc(places, func(x, y int) int {
		if failed != nil {
			return 0
		}
		order, err := r.compare(keys[x], keys[y])
		failed = err
		if reverse {
			return -order
		}
		return order
	})
	return places, failed
}

func sortFilter(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "reverse", "case_sensitive", "attribute"); err != nil {
		return jinja.Undefined(), err
	}
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	keys, err := r.sortKeys(items, a.at(3, "attribute"), a.at(2, "case_sensitive"))
	if err != nil {
		return jinja.Undefined(), err
	}
	places, err := r.sorted(keys, a.at(1, "reverse").IsTruthy())
	if err != nil {
		return jinja.Undefined(), err
	}
	sorted := make([]jinja.Value, len(items))
	for i, place := range places {
		sorted[i] = items[place]
	}
	return jinja.NewList(sorted), r.makeItems(len(items))
}

func unique(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "case_sensitive", "attribute"); err != nil {
		return jinja.Undefined(), err
	}
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	keys, err := r.sortKeys(items, a.at(2, "attribute"), a.at(1, "case_sensitive"))
	if err != nil {
		return jinja.Undefined(), err
	}
	var kept, seen []jinja.Value
	for i, key := range keys {
		known, err := r.contains(jinja.NewList(seen), key)
		if err != nil {
			return jinja.Undefined(), err
		}
		if !known {
			kept, seen = append(kept, items[i]), append(seen, key)
		}
	}
	return generator(kept), r.makeItems(len(items))
}

// extreme is the least (-1) or the greatest (1) of a list.
func extreme(sign int) callable {
	return func(r *rendering, a arguments) (jinja.Value, error) {
		if err := a.check(1, "value", "case_sensitive", "attribute"); err != nil {
			return jinja.Undefined(), err
		}
		items, err := r.items(a.values[0])
		if err != nil || len(items) == 0 {
			return jinja.Undefined(), err
		}
		keys, err := r.sortKeys(items, a.at(2, "attribute"), a.at(1, "case_sensitive"))
		if err != nil {
			return jinja.Undefined(), err
		}
		best := 0
		for i := range keys {
			order, err := r.compare(keys[i], keys[best])
			if err != nil {
				return jinja.Undefined(), err
			}
			if order == sign {
				best = i
			}
		}
		return items[best], nil
	}
}

func sum(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "iterable", "attribute", "start"); err != nil {
		return jinja.Undefined(), err
	}
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	if items, err = r.attributes(items, a.at(1, "attribute")); err != nil {
		return jinja.Undefined(), err
	}
	total := a.at(2, "start")
	if total.IsUndefined() {
		total = jinja.NewInt(0)
	}
	for _, v := range items {
		if total, err = add(r, total, v); err != nil {
			return jinja.Undefined(), err
		}
	}
	return total, nil
}

func batch(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(2, "value", "linecount"); err != nil {
		return jinja.Undefined(), err
	}
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	size, err := a.integerAt(1, "linecount", 0)
	if err != nil {
		return jinja.Undefined(), err
	}
	if size < 1 {
		return jinja.Undefined(), fmt.Errorf("batches of %d", size)
	}
	var batches []jinja.Value
	for part := range slices.Chunk(items, size) {
		batches = append(batches, jinja.NewList(slices.Clone(part)))
	}
	return generator(batches), r.makeItems(len(items) + len(batches))
}

func itemsFilter(r *rendering, a arguments) (jinja.Value, error) {
	switch v := a.values[0]; {
	case v.IsUndefined():
		return generator(nil), nil
	case r.isMapping(v):
		list, err := pairs(r, v.AsDict(), a)
		if err != nil {
			return jinja.Undefined(), err
		}
		return generator(list.AsList().Items), nil
	default:
		return jinja.Undefined(), fmt.Errorf("%s is no mapping", kindOf(v))
	}
}

// dictsort sorts the pairs of a mapping by key, or by value.
func dictsort(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "value", "case_sensitive", "by", "reverse"); err != nil {
		return jinja.Undefined(), err
	}
	if !r.isMapping(a.values[0]) {
		return jinja.Undefined(), fmt.Errorf("%s is no mapping", kindOf(a.values[0]))
	}
	list, err := pairs(r, a.values[0].AsDict(), a)
	if err != nil {
		return jinja.Undefined(), err
	}
	by := jinja.NewInt(0)
	if v := a.at(2, "by"); v.IsString() && v.AsString() == "value" {
		by = jinja.NewInt(1)
	}
	return sortFilter(r, arguments{values: []jinja.Value{list, a.at(3, "reverse"), a.at(1, "case_sensitive"), by}})
}

func attr(r *rendering, a arguments) (jinja.Value, error) {
	name, err := a.textAt(1, "name")
	if err != nil {
		return jinja.Undefined(), err
	}
	// Of a mapping an attribute is a method, never an item.
	method, _ := r.method(a.values[0], r.plain(name))
	return method, nil
}

// mapFilter gives an attribute of each item, or what a filter makes of it.
func mapFilter(r *rendering, a arguments) (jinja.Value, error) {
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	if err := r.makeItems(len(items)); err != nil {
		return jinja.Undefined(), err
	}
	change := func(v jinja.Value) (jinja.Value, error) {
		return r.attributeOf(v, a.named["attribute"], a.named["default"])
	}
	if len(a.values) > 1 {
		name, err := a.textAt(1, "filter")
		if err != nil {
			return jinja.Undefined(), err
		}
		f, known := filters[name]
		if !known {
			return jinja.Undefined(), fmt.Errorf("the filter %q is not known", name)
		}
		change = func(v jinja.Value) (jinja.Value, error) {
			return f(r, arguments{slices.Concat([]jinja.Value{v}, a.values[2:]), a.named})
		}
	}
	changed := make([]jinja.Value, len(items))
	for i, v := range items {
		if err := r.spend(operationWork); err != nil {
			return jinja.Undefined(), err
		}
		if changed[i], err = change(v); err != nil {
			return jinja.Undefined(), err
		}
	}
	return generator(changed), nil
}

// selecting keeps the items, or those with an attribute, that pass a test or do not. Without a test their truth counts.
func selecting(byAttribute, want bool) callable {
	return func(r *rendering, a arguments) (jinja.Value, error) {
		items, err := r.items(a.values[0])
		if err != nil {
			return jinja.Undefined(), err
		}
		values, operands := items, a.values[1:]
		if byAttribute {
			if len(operands) == 0 {
				return jinja.Undefined(), errors.New("no attribute")
			}
			if values, err = r.attributes(items, operands[0]); err != nil {
				return jinja.Undefined(), err
			}
			operands = operands[1:]
		}
		var kept []jinja.Value
		for i, v := range values {
			if err := r.spend(operationWork); err != nil {
				return jinja.Undefined(), err
			}
			holds := v.IsTruthy()
			if len(operands) > 0 {
				if !operands[0].IsString() {
					return jinja.Undefined(), fmt.Errorf("a test that is %s", kindOf(operands[0]))
				}
				if holds, err = r.test(operands[0].AsString(), v, operands[1:]); err != nil {
					return jinja.Undefined(), err
				}
			}
			if holds == want {
				kept = append(kept, items[i])
			}
		}
		return generator(kept), r.makeItems(len(kept))
	}
}
