package jinja2

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ardanlabs/jinja"
)

// kindOf names what a value is, for errors.
func kindOf(v jinja.Value) string {
	switch {
	case isGenerator(v):
		return "a generator"
	case v.IsUndefined():
		return "undefined"
	case v.IsNone():
		return "none"
	case v.IsBool():
		return "a truth value"
	case v.IsNumber():
		return "a number"
	case v.IsString():
		return "a string"
	case v.IsList():
		return "a list"
	case v.IsDict():
		return "a mapping"
	}
	return "a function"
}

// isInteger: a truth value counts as 0 or 1 in Python.
func isInteger(v jinja.Value) bool { return v.IsInt() || v.IsBool() }

func isNumber(v jinja.Value) bool { return isInteger(v) || v.IsFloat() }

func integerOf(v jinja.Value) int64 {
	switch {
	case v.IsInt():
		return v.AsInt()
	case v.IsBool() && v.AsBool():
		return 1
	}
	return 0
}

func numberOf(v jinja.Value) float64 {
	if v.IsFloat() {
		return v.AsFloat()
	}
	return float64(integerOf(v))
}

// generatorName marks the function that stands for a generator: what map, select and their like give. It can be gone
// through once, is always true and has no length, which templates notice.
const generatorName = "generator"

func isGenerator(v jinja.Value) bool { return v.IsCallable() && v.AsCallable().Name == generatorName }

func generator(items []jinja.Value) jinja.Value {
	return jinja.NewCallable(generatorName, func([]jinja.Value, map[string]jinja.Value) (jinja.Value, error) {
		rest := items
		items = nil
		return jinja.NewList(rest), nil
	})
}

// floatText spells a number as Python's repr does.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(fmt.Sprint(f)), "+")
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// items returns what a loop goes through.
func (r *rendering) items(v jinja.Value) ([]jinja.Value, error) {
	switch {
	case isGenerator(v):
		list, err := v.AsCallable().Fn(nil, nil)
		return list.AsList().Items, err
	case v.IsUndefined():
		return nil, nil
	case v.IsList():
		items := v.AsList().Items
		return items, r.spend(len(items))
	case v.IsDict() && !r.namespaces[v.AsDict()]:
		return r.keysOf(v.AsDict())
	case v.IsString():
		return r.characters(v.AsString())
	}
	return nil, fmt.Errorf("%s is nothing to go through", kindOf(v))
}

// keysOf returns the keys of a mapping in their order.
func (r *rendering) keysOf(d *jinja.Dict) ([]jinja.Value, error) {
	if keys, found := r.keys[d]; found {
		return keys, nil
	}
	if err := r.makeItems(len(d.Keys)); err != nil {
		return nil, err
	}
	keys := make([]jinja.Value, len(d.Keys))
	for i, key := range d.Keys {
		keys[i] = jinja.NewString(key)
	}
	return keys, nil
}

// key returns a dictionary's value of a key that the template may have written itself.
func (r *rendering) key(d *jinja.Dict, key jinja.Value) (jinja.Value, bool) {
	var s string
	switch {
	case key.IsString():
		s = key.AsString()
	case isNumber(key) || key.IsNone():
		s = r.plainText(key)
	default:
		return jinja.Undefined(), false
	}
	if v, found := d.Get(s); found {
		return v, true
	}
	if r.mark == "" {
		return jinja.Undefined(), false
	}
	if v, found := d.Get(r.broken(r.plain(s))); found {
		return v, true
	}
	return d.Get(r.plain(s))
}

// equal compares as Python does: numbers by value, strings without marks, lists and mappings by their parts.
func (r *rendering) equal(a, b jinja.Value) (bool, error) {
	if err := r.enter(); err != nil {
		return false, err
	}
	defer r.leave()
	switch {
	case isInteger(a) && isInteger(b):
		return integerOf(a) == integerOf(b), nil
	case isNumber(a) && isNumber(b):
		return numberOf(a) == numberOf(b), nil
	case a.IsString() && b.IsString():
		x, y := a.AsString(), b.AsString()
		return r.plain(x) == r.plain(y), r.spend(len(x) + len(y))
	case a.IsList() && b.IsList():
		x, y := a.AsList().Items, b.AsList().Items
		if len(x) != len(y) || r.tuples[a.AsList()] != r.tuples[b.AsList()] {
			return false, nil
		}
		for i := range x {
			if same, err := r.equal(x[i], y[i]); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	case a.IsDict() && b.IsDict():
		x, y := a.AsDict(), b.AsDict()
		if x == y || len(x.Keys) != len(y.Keys) || r.namespaces[x] || r.namespaces[y] {
			return x == y, nil
		}
		for _, key := range x.Keys {
			other, found := r.key(y, jinja.NewString(key))
			if !found {
				return false, nil
			}
			if same, err := r.equal(x.Data[key], other); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	return a.IsNone() && b.IsNone() || a.IsUndefined() && b.IsUndefined(), nil
}

// compare orders numbers, strings by code points and lists; Python compares nothing else.
func (r *rendering) compare(a, b jinja.Value) (int, error) {
	if err := r.enter(); err != nil {
		return 0, err
	}
	defer r.leave()
	switch {
	case isInteger(a) && isInteger(b):
		x, y := integerOf(a), integerOf(b)
		return sign(x > y, x < y), nil
	case isNumber(a) && isNumber(b):
		x, y := numberOf(a), numberOf(b)
		return sign(x > y, x < y), nil
	case a.IsString() && b.IsString():
		x, y := a.AsString(), b.AsString()
		return strings.Compare(r.plain(x), r.plain(y)), r.spend(len(x) + len(y))
	case a.IsList() && b.IsList():
		x, y := a.AsList().Items, b.AsList().Items
		for i := range min(len(x), len(y)) {
			if order, err := r.compare(x[i], y[i]); order != 0 || err != nil {
				return order, err
			}
		}
		return sign(len(x) > len(y), len(x) < len(y)), nil
	}
	return 0, fmt.Errorf("%s and %s have no order", kindOf(a), kindOf(b))
}

func sign(more, less bool) int {
	switch {
	case more:
		return 1
	case less:
		return -1
	}
	return 0
}
