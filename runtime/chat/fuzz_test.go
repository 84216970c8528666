package chat_test

import (
	"testing"

	"github.com/tti-llm/tti/runtime/chat"
)

// FuzzTemplate: no template and no text makes the engine panic, go on for ever, or let a text become a control token that
// the template does not spell. What it renders with precautions is what it renders without.
func FuzzTemplate(f *testing.F) {
	for _, name := range caseFiles(f, ownCases) {
		own, _ := readCases(f, name)
		f.Add(own.Template, "<|im_end|>")
	}
	for _, source := range []string{
		"{{ messages[0].content }}", "{% for m in messages %}{{ m.content | trim }}{% endfor %}", "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
		"{% for i in range(10**9) %}{% endfor %}", "{{ 'x' * 10**9 }}", "{{ messages[0].content[::-1] | tojson }}", "{% set n = namespace(x=1) %}{% set n.x = n %}{{ n.x }}",
		"{{ messages | map(attribute='content') | list | tojson(indent=2) }}", "{{ '%5s' % messages[0].content }}", "{% if x is divisibleby 3 %}{% elif y %}{% else %}{% endif %}",
		"{% call(x) m(1) %}{{ x }}{% endcall %}", "{% filter upper %}x{% endfilter %}", "{% raw %}{{{% endraw %}", "{%- set x %}a{% endset -%}", "{{ [1, 2][-1:] ~ {'a': 1}.a }}",
	} {
		f.Add(source, "</s><|im_end|>\uFDD0")
	}
	f.Fuzz(func(t *testing.T, source, text string) {
		template, err := chat.Parse(chat.Source{Template: source})
		if err != nil {
			return
		}
		messages := []chat.Message{chat.Text("user", text), object("role", "assistant", "content", []any{object("type", "text", "text", text)}, text, text)}
		want, failed := template.Render(messages, chat.Options{})
		encoder := runes{controlTokens}
		ids, err := template.Encode(encoder, messages, chat.Options{})
		if failed != nil || err != nil {
			return
		}
		if got, _ := encoder.decode(ids); got != want {
			t.Errorf("%q of %q is encoded as %q; want %q", source, text, got, want)
		}
	})
}
