// Package jinja2 renders templates in the language of Jinja2 3.1 as transformers sets it up for chat templates:
// trim_blocks, lstrip_blocks, loop controls, a sandbox in which a template changes no value, and the functions
// raise_exception and strftime_now.
//
// A template is translated (blocks.go, expressions.go) into a simpler one for the engine github.com/ardanlabs/jinja,
// which then decides control flow and scopes; all operations on values are this package's (operations). So a template
// means what it means in Python, its cost is counted and limited, and marks on text that is not the template's own
// (marks.go) go unseen through every operation.
package jinja2

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// Limits of a template.
const (
	MaxTemplate = 1 << 20 // bytes of its source
	MaxOutput   = 8 << 20 // bytes that it renders, marks and all
)

// Template is a compiled template. It may be rendered by several goroutines at once.
type Template struct {
	engine *jinja.Template
	macros parameterLists
	size   int
}

// Environment is what a template is rendered with.
type Environment struct {
	// Now is what strftime_now tells; nil is the machine's clock.
	Now func() time.Time

	// Mark, unless it is 0, is a character that occurs in marked text only and is invisible to the template's operations;
	// Break returns a text with its marks.
	Mark  rune
	Break func(string) string
}

// Parse compiles a template. Errors name the line.
func Parse(source string) (*Template, error) {
	if len(source) > MaxTemplate {
		return nil, fmt.Errorf("a template of %d bytes; %d are the most", len(source), MaxTemplate)
	}
	if !utf8.ValidString(source) {
		return nil, errors.New("a template that is no UTF-8")
	}
	translated, macros, err := translate(source)
	if err != nil {
		return nil, err
	}
	engine, err := jinja.Compile(translated)
	if err != nil {
		return nil, err
	}
	return &Template{engine, macros, len(source)}, nil
}

// Render renders a template with these variables. Size is that of the variables' texts in bytes: a template may spend work
// in proportion to it. It fails if the template raises an exception, does what Python refuses, costs too much
// (ErrTooCostly) or renders more than MaxOutput bytes.
func (t *Template) Render(variables map[string]jinja.Value, size int, e Environment) (text string, err error) {
	if e.Now == nil {
		e.Now = time.Now
	}
	r := &rendering{
		environment: e,
		macros:      t.macros,
		left:        baseWork + workPerByte*(size+t.size),
		namespaces:  map[*jinja.Dict]bool{},
		tuples:      map[*jinja.List]bool{},
		keys:        map[*jinja.Dict][]jinja.Value{},
	}
	if e.Mark != 0 {
		r.mark = string(e.Mark)
	}
	data := map[string]jinja.Value{}
	for name, function := range functions {
		data[variable(name)] = r.function(name, function)
	}
	for name, value := range variables {
		data[variable(name)] = value
	}
	for name, operation := range operations {
		data[name] = r.operation(name, operation)
	}
	// The engine is not ours: where it fails on what we did not foresee, that is this template's error.
	defer func() {
		if caught := recover(); caught != nil {
			text, err = "", fmt.Errorf("the template engine failed: %v", caught)
		}
	}()
	text, err = t.engine.RenderValues(data)
	if err == nil && len(text) > MaxOutput {
		return "", fmt.Errorf("%w: an output of more than %d bytes", ErrTooCostly, MaxOutput)
	}
	return text, err
}
