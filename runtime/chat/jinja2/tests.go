package jinja2

import (
	"fmt"
	"unicode"

	"github.com/ardanlabs/jinja"
)

// tests of a value alone.
var tests = map[string]func(r *rendering, v jinja.Value) bool{
	"defined":   func(_ *rendering, v jinja.Value) bool { return !v.IsUndefined() },
	"undefined": func(_ *rendering, v jinja.Value) bool { return v.IsUndefined() },
	"none":      func(_ *rendering, v jinja.Value) bool { return v.IsNone() },
	"boolean":   func(_ *rendering, v jinja.Value) bool { return v.IsBool() },
	"true":      func(_ *rendering, v jinja.Value) bool { return v.IsBool() && v.AsBool() },
	"false":     func(_ *rendering, v jinja.Value) bool { return v.IsBool() && !v.AsBool() },
	"integer":   func(_ *rendering, v jinja.Value) bool { return v.IsInt() },
	"float":     func(_ *rendering, v jinja.Value) bool { return v.IsFloat() },
	"number":    func(_ *rendering, v jinja.Value) bool { return isNumber(v) },
	"string":    func(_ *rendering, v jinja.Value) bool { return v.IsString() },
	"mapping":   (*rendering).isMapping,
	"sequence": func(r *rendering, v jinja.Value) bool {
		return v.IsUndefined() || v.IsString() || v.IsList() || r.isMapping(v)
	},
	"iterable": func(r *rendering, v jinja.Value) bool {
		return v.IsUndefined() || v.IsString() || v.IsList() || r.isMapping(v) || isGenerator(v)
	},
	"callable": func(_ *rendering, v jinja.Value) bool { return v.IsCallable() && !isGenerator(v) },
	"odd":      func(_ *rendering, v jinja.Value) bool { return isInteger(v) && integerOf(v)%2 != 0 },
	"even":     func(_ *rendering, v jinja.Value) bool { return isInteger(v) && integerOf(v)%2 == 0 },
	"upper":    func(r *rendering, v jinja.Value) bool { return r.cased(v, unicode.IsUpper, unicode.IsLower) },
	"lower":    func(r *rendering, v jinja.Value) bool { return r.cased(v, unicode.IsLower, unicode.IsUpper) },
	"filter":   func(r *rendering, v jinja.Value) bool { return v.IsString() && filters[r.plain(v.AsString())] != nil },
}

// comparingTests compare a value with another; they are the operators by name.
var comparingTests = map[string]string{
	"eq": "equal", "equalto": "equal", "==": "equal",
	"ne": "unequal", "!=": "unequal",
	"lt": "less", "lessthan": "less", "<": "less",
	"le": "less_equal", "<=": "less_equal",
	"gt": "greater", "greaterthan": "greater", ">": "greater",
	"ge": "greater_equal", ">=": "greater_equal",
	"in": "contained",
}

func (r *rendering) isMapping(v jinja.Value) bool { return v.IsDict() && !r.namespaces[v.AsDict()] }

// cased is Python's isupper and islower: some characters are of the one case and none of the other.
func (r *rendering) cased(v jinja.Value, want, not func(rune) bool) bool {
	found := false
	s, _ := r.string(v)
	for _, char := range s {
		if not(char) {
			return false
		}
		found = found || want(char)
	}
	return found
}

func (r *rendering) test(name string, v jinja.Value, operands []jinja.Value) (bool, error) {
	if v.IsString() {
		if err := r.spend(len(v.AsString())); err != nil {
			return false, err
		}
	}
	if holds, known := tests[name]; known {
		if len(operands) > 0 {
			return false, fmt.Errorf("the test %s takes no argument", name)
		}
		return holds(r, v), nil
	}
	operator, compares := comparingTests[name]
	if !compares && name != "sameas" && name != "divisibleby" {
		return false, fmt.Errorf("the test %q is not known", name)
	}
	if len(operands) != 1 {
		return false, fmt.Errorf("the test %s takes one argument", name)
	}
	switch name {
	case "sameas":
		return r.same(v, operands[0])
	case "divisibleby":
		n, err := modulo(r, v, operands[0])
		return err == nil && numberOf(n) == 0, err
	}
	result, err := operations[operator](r, arguments{values: []jinja.Value{v, operands[0]}})
	return result.IsTruthy(), err
}

// same is Python's "is" as far as templates can tell: of lists and mappings identity, of others the kind and the value.
func (r *rendering) same(a, b jinja.Value) (bool, error) {
	switch {
	case a.IsList() && b.IsList():
		return a.AsList() == b.AsList(), nil
	case a.IsDict() && b.IsDict():
		return a.AsDict() == b.AsDict(), nil
	case a.IsBool() != b.IsBool() || a.IsFloat() != b.IsFloat():
		return false, nil
	}
	return r.equal(a, b)
}
