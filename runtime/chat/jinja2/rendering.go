package jinja2

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ardanlabs/jinja"
)

// ErrTooCostly is the error of a template that works too long, or makes too much.
var ErrTooCostly = errors.New("the template costs too much")

// What a template may spend, in units of work. A unit is about a nanosecond: the whole is about a second.
const (
	baseWork    = 1 << 29
	workPerByte = 256 // for each byte of the variables and of the template

	operationWork = 256 // of any operation
	byteWork      = 4   // for each byte made; at most 128 MB come from the base
	itemWork      = 256 // for each item of a list made
)

// maxDepth limits how deep macros call each other, and values nest. Python gives up at about the same.
const maxDepth = 200

// rendering is the state of a template while it is rendered.
type rendering struct {
	environment Environment
	mark        string
	macros      parameterLists
	left        int // work
	depth       int
	namespaces  map[*jinja.Dict]bool
	tuples      map[*jinja.List]bool
	keys        map[*jinja.Dict][]jinja.Value // of mappings with keys that are no texts, which the engine does not have
}

func (r *rendering) spend(work int) error {
	if work < 0 || work > r.left {
		r.left = 0
		return ErrTooCostly
	}
	r.left -= work
	return nil
}

// make pays for a text before it is made, or after one that is not much larger than what it was made from.
func (r *rendering) make(bytes int) error {
	if bytes > MaxOutput {
		return fmt.Errorf("%w: a text of more than %d bytes", ErrTooCostly, MaxOutput)
	}
	return r.spend(bytes * byteWork)
}

func (r *rendering) makeItems(count int) error {
	if count < 0 || count > r.left/itemWork {
		return r.spend(-1)
	}
	return r.spend(count * itemWork)
}

// text returns a text after it has been paid for.
func (r *rendering) text(s string) (jinja.Value, error) { return jinja.NewString(s), r.make(len(s)) }

// tuple returns a list that is a tuple to Python.
func (r *rendering) tuple(items ...jinja.Value) jinja.Value {
	v := jinja.NewList(items)
	r.tuples[v.AsList()] = true
	return v
}

// texts returns a list of texts.
func (r *rendering) texts(list []string) (jinja.Value, error) {
	values := make([]jinja.Value, len(list))
	for i, s := range list {
		values[i] = jinja.NewString(s)
	}
	return jinja.NewList(values), r.makeItems(len(list))
}

func (r *rendering) enter() error {
	if r.depth++; r.depth > maxDepth {
		return fmt.Errorf("%w: nested more than %d deep", ErrTooCostly, maxDepth)
	}
	return r.spend(operationWork)
}

func (r *rendering) leave() { r.depth-- }

// arguments are those of an operation, filter, test, function or method.
type arguments struct {
	values []jinja.Value
	named  map[string]jinja.Value
}

// at returns an argument by place or name; undefined if there is none.
func (a arguments) at(place int, name string) jinja.Value {
	if place < len(a.values) {
		return a.values[place]
	}
	return a.named[name]
}

// check refuses more arguments than there are names, fewer by place than there must be, and unknown names.
func (a arguments) check(least int, names ...string) error {
	if len(a.values) > len(names) {
		return fmt.Errorf("%d arguments; %d are the most", len(a.values), len(names))
	}
	for given := range a.named {
		if !slices.Contains(names, given) {
			return fmt.Errorf("no argument is called %q", given)
		}
	}
	if len(a.values) < least {
		return fmt.Errorf("no argument %q", names[len(a.values)])
	}
	return nil
}

// lineError tells where in a template an error arose.
type lineError struct {
	line int64
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// callable is an operation, filter, function or method.
type callable func(*rendering, arguments) (jinja.Value, error)

// function is a value that a template can call.
func (r *rendering) function(name string, f callable) jinja.Value {
	return jinja.NewCallable(name, func(values []jinja.Value, named map[string]jinja.Value) (jinja.Value, error) {
		v, err := f(r, arguments{values, plainNames(named)})
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return v, err
	})
}

// operation is a function of ours in the engine's language. The first argument is the line.
func (r *rendering) operation(name string, f callable) jinja.Value {
	return jinja.NewCallable(name, func(values []jinja.Value, named map[string]jinja.Value) (jinja.Value, error) {
		err := r.spend(operationWork)
		var v jinja.Value
		if err == nil {
			v, err = f(r, arguments{values[1:], named})
		}
		if inner := (*lineError)(nil); err != nil && !errors.As(err, &inner) {
			err = &lineError{values[0].AsInt(), err}
		}
		return v, err
	})
}

func plainNames(named map[string]jinja.Value) map[string]jinja.Value {
	if len(named) == 0 {
		return nil
	}
	plain := make(map[string]jinja.Value, len(named))
	for name, value := range named {
		plain[strings.TrimPrefix(name, variable(""))] = value
	}
	return plain
}
