package chat_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/runtime/chat/jinja2"
)

func TestNamedTemplates(t *testing.T) {
	template, err := chat.Parse(chat.Source{Template: "default", Named: map[string]string{"tool_use": "tools", "rag": "documents"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "default", "tool_use": "tools", "rag": "documents"} {
		if got, err := template.Render(nil, chat.Options{Template: name}); got != want || err != nil {
			t.Errorf("template %q renders %q, %v", name, got, err)
		}
	}
	if _, err := template.Render(nil, chat.Options{Template: "other"}); err == nil || !strings.Contains(err.Error(), "rag") {
		t.Errorf("an unknown template: %v; want the names of those there are", err)
	}
}

func TestVariables(t *testing.T) {
	template, err := chat.Parse(chat.Source{
		Template: "{{ bos_token }}{{ eos_token is defined }} {{ tools is none }} {{ documents }} {{ enable_thinking }} {{ add_generation_prompt }}",
		BOS:      chat.Define("<s>"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := template.Render(nil, chat.Options{Variables: object("documents", []any{"d", 1, nil}, "enable_thinking", false)})
	if want := "<s>False True ['d', 1, None] False False"; got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, name := range []string{"messages", "add_generation_prompt", "bos_token", "pad_token"} {
		if _, err := template.Render(nil, chat.Options{Variables: object(name, "x")}); err == nil {
			t.Errorf("the variable %s is accepted", name)
		}
	}
	for _, value := range []any{map[string]any{}, json.Number("99999999999999999999"), "\xff", []any{struct{}{}}, object("\xff", 1)} {
		if _, err := template.Render(nil, chat.Options{Variables: object("x", value)}); err == nil {
			t.Errorf("the value %v is accepted", value)
		}
	}
}

func TestException(t *testing.T) {
	template, err := chat.Parse(chat.Source{Template: "\n{{ raise_exception('Not ' ~ messages[0].role) }}"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = template.Render([]chat.Message{chat.Text("user", "x")}, chat.Options{})
	var exception *jinja2.Exception
	if !errors.As(err, &exception) || exception.Message != "Not user" || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
}

// TestObjectJSON: the order of fields is kept both ways, and of fields of the same name the last counts.
func TestObjectJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":{"z":[1.50,"x",null,true],"y":{}},"c":[]}`: `{"b":1,"a":{"z":[1.50,"x",null,true],"y":{}},"c":[]}`,
		`{"b":1,"a":2,"b":3}`: `{"b":3,"a":2}`,
		`{}`:                  `{}`,
	} {
		var o chat.Object
		if err := json.Unmarshal([]byte(in), &o); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if out, err := json.Marshal(o); string(out) != want || err != nil {
			t.Errorf("%s comes back as %s, %v", in, out, err)
		}
	}
	for _, in := range []string{`[]`, `"x"`, `1`, `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`} {
		var o chat.Object
		if err := json.Unmarshal([]byte(in), &o); err == nil {
			t.Errorf("%.20s is read as %v", in, o)
		}
	}
}
