package bpe

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/vocabulary"
)

// chatTemplate is what tokenizer_config.json has of chat templates: one, or a list of them with names.
type chatTemplate map[string]string

// UnmarshalJSON takes both forms.
func (t *chatTemplate) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = chatTemplate{vocabulary.DefaultTemplate: one}
		return nil
	}
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if json.Unmarshal(data, &list) != nil {
		return errors.New("chat_template is neither a text nor a list of templates with names")
	}
	*t = make(chatTemplate, len(list))
	for _, named := range list {
		if _, taken := (*t)[named.Name]; taken {
			return fmt.Errorf("chat_template %.60q is there twice", named.Name)
		}
		(*t)[named.Name] = named.Template
	}
	return nil
}

// readTemplates returns the chat templates by name, nil if there are none. A file of its own has the last word.
func (l *loader) readTemplates() (map[string]string, error) {
	present, err := l.files.has(modelfiles.ChatTemplate)
	if err != nil {
		return nil, err
	}
	templates := map[string]string(l.config.Template)
	if present {
		text, err := l.files.contents(modelfiles.ChatTemplate)
		if err != nil {
			return nil, err
		}
		templates = map[string]string{vocabulary.DefaultTemplate: string(text)}
	}
	if len(templates) == 0 {
		return nil, nil
	}
	return templates, nil
}
