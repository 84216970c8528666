package chat

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"

	"github.com/tti-llm/tti/runtime/chat/jinja2"
)

// Token is the text of a token that a template may name, or none.
type Token struct {
	Text    string
	Defined bool
}

// Define is a token that there is.
func Define(text string) Token { return Token{text, true} }

func (t Token) text() string { return t.Text }

// Source is what a model says about its chat format.
type Source struct {
	Template string            // the one that is taken unless another is asked for
	Named    map[string]string // others, as "tool_use"

	BOS, EOS, UNK, PAD Token // bos_token, eos_token, unk_token, pad_token of a template
}

// Template is the compiled chat template of a model, and others that have names. Several goroutines may use it at once.
type Template struct {
	source   Source
	compiled map[string]*jinja2.Template
}

// Parse compiles the templates of a model. An error names the template and the line.
func Parse(source Source) (*Template, error) {
	t := &Template{source, map[string]*jinja2.Template{}}
	compiled, err := jinja2.Parse(source.Template)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	t.compiled[""] = compiled
	for _, name := range slices.Sorted(maps.Keys(source.Named)) {
		if t.compiled[name], err = jinja2.Parse(source.Named[name]); err != nil {
			return nil, fmt.Errorf("chat template %q: %w", name, err)
		}
	}
	return t, nil
}

// Names returns the names of the templates that have one, sorted.
func (t *Template) Names() []string { return slices.Sorted(maps.Keys(t.source.Named)) }

// Options say how a conversation is rendered. The zero value is a conversation as it is.
type Options struct {
	// AddGenerationPrompt ends the text with what precedes an answer.
	AddGenerationPrompt bool

	// ContinueFinalMessage leaves the final message's text open, for the model to continue.
	ContinueFinalMessage bool

	// Template is the name of the template, "" the model's default.
	Template string

	// Variables are further ones that the template knows: tools, documents, enable_thinking. They come after messages and the
	// others that transformers defines, and may not be among these.
	Variables Object

	// Now is the clock of templates that tell the date; nil is the machine's.
	Now func() time.Time
}

// Encoder is what Encode needs of a tokenizer.
type Encoder interface {
	// Control yields the texts of the tokens that no user's text may become: those with "special": true.
	Control() iter.Seq[string]

	// EncodeTemplate returns the ids of a rendered template, without those that a post-processor adds. Control tokens are
	// found first; then the reserved character is taken out of what is between them, which is encoded as other text is,
	// other added tokens included. Spellings that hold the reserved character are no control tokens.
	EncodeTemplate(text string, reserved rune) ([]int32, error)
}

// Render returns the text of a conversation. It does not tell control tokens from texts that spell them; what a model is
// to read comes from Encode.
//
// It fails if a role is no plain word, if a value has a type that Field does not name, and if the template refuses the
// conversation (*jinja2.Exception), makes a mistake, or costs too much (jinja2.ErrTooCostly).
func (t *Template) Render(messages []Message, o Options) (string, error) {
	rendered, err := t.render(messages, o, nil, false)
	return rendered.text, err
}

// Encode returns the ids of a conversation. No text of a message or variable becomes a control token, not even
// beside another's or the template's; otherwise the ids are those of the rendered text.
func (t *Template) Encode(e Encoder, messages []Message, o Options) ([]int32, error) {
	rendered, err := t.render(messages, o, slices.Collect(e.Control()), true)
	if err != nil {
		return nil, err
	}
	return e.EncodeTemplate(rendered.text, rendered.mark)
}

// rendered is the text of a conversation, and the character that breaks what would be a control token in it, or 0.
type rendered struct {
	text string
	mark rune
}

func (t *Template) render(messages []Message, o Options, control []string, breaking bool) (rendered, error) {
	compiled, found := t.compiled[o.Template]
	if !found {
		return rendered{}, fmt.Errorf("no chat template is called %q; there are %q", o.Template, t.Names())
	}
	free, err := reserved(2, t.allTexts(messages, o, control))
	if err != nil {
		return rendered{}, err
	}
	mark, tag := free[0], string(free[1])+" "
	final := ""
	if o.ContinueFinalMessage {
		if o.AddGenerationPrompt {
			return rendered{}, errBothEnds
		}
		if messages, final, err = openFinal(messages, tag); err != nil {
			return rendered{}, err
		}
	}
	c, environment := converter{mark: func(s string) string { return s }}, jinja2.Environment{Now: o.Now}
	if breaking {
		b, err := newBreaker(mark, control)
		if err != nil {
			return rendered{}, err
		}
		c.mark, environment.Mark, environment.Break = b.breaks, mark, b.breaks
	} else {
		mark = 0
	}
	variables, err := t.variables(&c, messages, o)
	if err != nil {
		return rendered{}, err
	}
	text, err := compiled.Render(variables, c.size, environment)
	if err != nil {
		return rendered{}, fmt.Errorf("chat template: %w", err)
	}
	if o.ContinueFinalMessage {
		text, err = cutFinal(text, final, tag, environment.Mark)
	}
	return rendered{text, mark}, err
}

var errVariable = errors.New("the template has a variable of this name from elsewhere")

// variables are those that transformers defines, and the options'.
func (t *Template) variables(c *converter, messages []Message, o Options) (map[string]jinja.Value, error) {
	list, err := c.messages(messages)
	if err != nil {
		return nil, err
	}
	variables := map[string]jinja.Value{"messages": list, "add_generation_prompt": jinja.NewBool(o.AddGenerationPrompt)}
	for name, token := range map[string]Token{
		"bos_token": t.source.BOS, "eos_token": t.source.EOS, "unk_token": t.source.UNK, "pad_token": t.source.PAD,
	} {
		if token.Defined {
			variables[name] = jinja.NewString(token.Text)
		}
	}
	for _, f := range o.Variables {
		if _, found := variables[f.Name]; found || strings.HasSuffix(f.Name, "_token") {
			return nil, fmt.Errorf("%s: %w", f.Name, errVariable)
		}
		value, err := c.value(f.Value, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		variables[f.Name] = value
	}
	for _, name := range []string{"tools", "documents"} {
		if _, found := variables[name]; !found {
			variables[name] = jinja.None()
		}
	}
	return variables, nil
}
