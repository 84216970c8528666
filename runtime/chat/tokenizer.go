package chat

import (
	"errors"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// ErrNoTemplate says that a model comes without a chat template: it continues texts and knows no roles.
var ErrNoTemplate = errors.New("the model has no chat template")

// FromTokenizer compiles the templates that a model's file holds. It fails with ErrNoTemplate if there are none.
func FromTokenizer(t *tokenizer.Tokenizer) (*Template, error) {
	settings := t.Settings()
	source := sourceOf(settings)
	for name, text := range settings.Templates {
		if name == vocabulary.DefaultTemplate {
			source.Template = text
			continue
		}
		if source.Named == nil {
			source.Named = make(map[string]string)
		}
		source.Named[name] = text
	}
	if _, found := settings.Templates[vocabulary.DefaultTemplate]; !found {
		return nil, ErrNoTemplate
	}
	return Parse(source)
}

// ParseFor compiles a template in the place of a model's own, with the special tokens of that model.
func ParseFor(t *tokenizer.Tokenizer, template string) (*Template, error) {
	source := sourceOf(t.Settings())
	source.Template = template
	return Parse(source)
}

// sourceOf returns the special tokens of a model.
func sourceOf(settings *vocabulary.Settings) Source {
	token := func(text *string) Token {
		if text == nil {
			return Token{}
		}
		return Define(*text)
	}
	return Source{BOS: token(settings.BOS), EOS: token(settings.EOS), UNK: token(settings.UNK), PAD: token(settings.PAD)}
}
