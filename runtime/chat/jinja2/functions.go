package jinja2

import (
	"errors"
	"fmt"

	"github.com/ardanlabs/jinja"
)

// functions are those that a template finds by their names.
var functions map[string]callable

func init() {
	functions = map[string]callable{
		"range":           rangeFunction,
		"dict":            dictFunction,
		"namespace":       namespace,
		"raise_exception": raiseException,
		"strftime_now":    strftimeNow,
	}
}

func rangeFunction(r *rendering, a arguments) (jinja.Value, error) {
	bounds := []int64{0, 0, 1}
	if len(a.values) < 1 || len(a.values) > 3 || len(a.named) > 0 {
		return jinja.Undefined(), errors.New("takes one to three arguments")
	}
	for i, v := range a.values {
		if !isInteger(v) {
			return jinja.Undefined(), fmt.Errorf("a bound that is %s", kindOf(v))
		}
		bounds[i] = integerOf(v)
	}
	if len(a.values) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		return jinja.Undefined(), errors.New("a step of 0")
	}
	var items []jinja.Value
	for n := start; (n < stop) == (step > 0) && n != stop; n += step {
		if err := r.makeItems(1); err != nil {
			return jinja.Undefined(), err
		}
		items = append(items, jinja.NewInt(n))
		if step > 0 && n > stop-step || step < 0 && n < stop-step {
			break // before an overflow
		}
	}
	return jinja.NewList(items), nil
}

// dictFunction is dict(a=1); the translator makes a mapping of its arguments.
func dictFunction(_ *rendering, a arguments) (jinja.Value, error) {
	switch {
	case len(a.values) == 0:
		return jinja.NewDict(), nil
	case len(a.values) == 1 && a.values[0].IsDict():
		return a.values[0], nil
	}
	return jinja.Undefined(), errors.New("takes named arguments or one mapping")
}

// namespace is a mapping of which a template may set attributes.
func namespace(r *rendering, a arguments) (jinja.Value, error) {
	given, err := dictFunction(r, a)
	if err != nil {
		return jinja.Undefined(), err
	}
	space := jinja.NewDict()
	for _, key := range given.AsDict().Keys {
		space.AsDict().Set(key, given.AsDict().Data[key])
	}
	r.namespaces[space.AsDict()] = true
	return space, nil
}

// Exception is the error of a template that raised it itself.
type Exception struct{ Message string }

func (e *Exception) Error() string { return "the template refuses: " + e.Message }

func raiseException(r *rendering, a arguments) (jinja.Value, error) {
	if err := a.check(1, "message"); err != nil {
		return jinja.Undefined(), err
	}
	message, err := r.string(a.at(0, "message"))
	if err != nil {
		return jinja.Undefined(), err
	}
	return jinja.Undefined(), &Exception{r.plain(message)}
}

func strftimeNow(r *rendering, a arguments) (jinja.Value, error) {
	format, err := a.textAt(0, "format")
	if err != nil {
		return jinja.Undefined(), err
	}
	s, err := strftime(r.environment.Now(), r.plain(format))
	if err != nil {
		return jinja.Undefined(), err
	}
	return r.text(r.anew(s, format))
}
