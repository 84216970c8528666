package chat_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/runtime/chat/jinja2"
)

// TestTooCostly: a template that would never end, or make more than memory holds, ends in an error before it has made much.
func TestTooCostly(t *testing.T) {
	nested := strings.Repeat("{% for i in range(1000) %}", 8) + "x" + strings.Repeat("{% endfor %}", 8)
	macros := "{% macro m0(x) %}{{ x }}{% endmacro %}"
	for i := range 50 {
		this, next := string(rune('a'+i%26))+strings.Repeat("a", i/26), string(rune('a'+(i+1)%26))+strings.Repeat("a", (i+1)/26)
		macros += "{% macro " + next + "() %}{{ " + this + "() }}{{ " + this + "() }}{% endmacro %}"
	}
	macros = "{% macro a() %}{{ 'x' * 1000 }}{% endmacro %}" + macros + "{{ xa() }}"
	for name, source := range map[string]string{
		"a long loop":                 "{% for i in range(10**9) %}{% endfor %}",
		"a long range":                "{{ range(1, 9223372036854775807, 2) | length }}",
		"loops in loops":              nested,
		"loops with conditions":       "{% for i in range(100000) %}{% for j in range(1000) if j > 2000 %}{% endfor %}{% endfor %}",
		"a long text":                 "{{ 'x' * 10**10 }}",
		"a long list":                 "{{ ([0] * 10**10) | length }}",
		"a text doubled":              "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
		"a text doubled by +":         "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
		"a text doubled by join":      "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = [n.s, n.s] | join %}{% endfor %}",
		"a text doubled by format":    "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = '%s%s' % (n.s, n.s) %}{% endfor %}",
		"a text doubled by a block":   "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set s %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = s %}{% endfor %}",
		"a text doubled by replacing": "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s.replace('x', 'xx') %}{% endfor %}",
		"a text replaced by itself":   "{% set n = namespace(s='x') %}{% for i in range(9) %}{% set n.s = n.s.replace('x', n.s * 9) %}{% endfor %}",
		"a list doubled":              "{% set n = namespace(l=[0]) %}{% for i in range(60) %}{% set n.l = n.l + n.l %}{% endfor %}",
		"a list of itself twice":      "{% set n = namespace(l=[0]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | string | length }}",
		"its JSON":                    "{% set n = namespace(l=[0]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | tojson | length }}",
		"its comparison":              "{% set n = namespace(l=[0], k=[0]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% set n.k = [n.k, n.k] %}{% endfor %}{{ n.l == n.k }}",
		"a deep list":                 "{% set n = namespace(l=[0]) %}{% for i in range(100000) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}",
		"a macro of itself":           "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
		"macros of each other":        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
		"a macro of itself twice":     "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}",
		"a default of itself":         "{% macro m(x=m()) %}{% endmacro %}{{ m() }}",
		"a caller of itself":          "{% macro n() %}{% call n() %}{% endcall %}{% endmacro %}{{ n() }}",
		"macros twice each":           macros,
		"a large output":              "{% for i in range(100000) %}" + strings.Repeat("x", 1000) + "{% endfor %}",
		"many texts":                  "{% set n = namespace(l=[]) %}{% for i in range(1000000) %}{% set n.l = n.l + ['x' * 1000000] %}{% endfor %}",
		"many lists":                  "{% for i in range(1000000) %}{% set l = range(100000) | list %}{% endfor %}",
		"a long indent":               "{{ 'x\ny' | indent(10**9) }}",
		"long indents":                "{{ ('x\n' * 1000000) | indent(1000) | length }}",
		"a wide format":               "{{ ('%9999s' * 100000) % ([1] * 100000) }}",
		"a scan of a text":            "{% set s = 'x' * 8000000 %}{% for i in range(1000000) %}{% if 'y' in s %}{% endif %}{% endfor %}",
		"a scan of a list":            "{% set l = range(100000) | list %}{% for i in range(100000) %}{% if -1 in l %}{% endif %}{% endfor %}",
		"unique":                      "{{ range(1000000) | unique | list | length }}",
		"sorting":                     "{% set l = range(100000) | list %}{% for i in range(100000) %}{% set x = l | sort %}{% endfor %}",
		"a power":                     "{{ 9 ** 9 ** 9 }}",
		"dates":                       "{{ strftime_now('%A' * 4000000) }}",
		"fields":                      "{% set s = 'x ' * 1000000 %}{% for i in range(1000000) %}{% set x = s.split() %}{% endfor %}",
		"attributes":                  "{{ range(1000000) | map(attribute='a.b') | list }}",
	} {
		t.Run(name, func(t *testing.T) {
			template, err := chat.Parse(chat.Source{Template: source})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			text, err := template.Render(nil, chat.Options{})
			runtime.ReadMemStats(&after)
			switch {
			case err == nil:
				t.Errorf("renders %d bytes", len(text))
			case !errors.Is(err, jinja2.ErrTooCostly) && name != "a power" && name != "attributes":
				t.Errorf("another error: %v", err)
			}
			// What lives at a time is less: this is all that was ever made.
			if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 4096 {
				t.Errorf("%d MB were made", made)
			}
			t.Logf("%d MB, %v", (after.TotalAlloc-before.TotalAlloc)>>20, err)
		})
	}
}

// TestBroken: what is no template is refused when it is parsed, with its line.
func TestBroken(t *testing.T) {
	for source, want := range map[string]string{
		strings.Repeat("x", jinja2.MaxTemplate+1):                                      "bytes",
		"{{ " + strings.Repeat("(", 100000) + " }}":                                    "line 1",
		"\n{{ " + strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500) + " }}":    "line 2: nested",
		"{{ " + strings.Repeat("-", 1000) + "1 }}":                                     "nested",
		"{{ " + strings.Repeat("not ", 1000) + "1 }}":                                  "nested",
		"{{ a" + strings.Repeat(".a", 1000) + " }}":                                    "nested",
		"{{ a" + strings.Repeat("|trim", 1000) + " }}":                                 "nested",
		"{{ " + strings.Repeat("a or ", 100000) + "a }}":                               "nested",
		"{{ " + strings.Repeat("a if b else ", 1000) + "a }}":                          "nested",
		strings.Repeat("{% if a %}", 1000) + strings.Repeat("{% endif %}", 1000):       "nested",
		strings.Repeat("{% for a in b %}", 1000) + strings.Repeat("{% endfor %}", 100): "nested",
		"\n\n{% for x in y %}":                                                         "line 3",
		"\n{{ 'x }}":                                                                   "line 2",
		"\xff":                                                                         "UTF-8",
		"{% frobnicate %}":                                                             `"frobnicate"`,
	} {
		if _, err := chat.Parse(chat.Source{Template: source}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v; want %q", source, err, want)
		}
	}
	_, err := chat.Parse(chat.Source{Named: map[string]string{"tool_use": "{{"}})
	if err == nil || !strings.Contains(err.Error(), "tool_use") {
		t.Errorf("the name of the template is missing: %v", err)
	}
}

// TestLongConversation: what a template may cost grows with the conversation.
func TestLongConversation(t *testing.T) {
	f, _ := readCases(t, ownCases+"/macros.jsonl")
	template, err := chat.Parse(f.source())
	if err != nil {
		t.Fatal(err)
	}
	var messages []chat.Message
	for range 500 {
		messages = append(messages, chat.Text("user", strings.Repeat("word ", 600)), chat.Text("assistant", strings.Repeat("word </think> ", 300)))
	}
	if _, err := template.Encode(runes{controlTokens}, messages, chat.Options{}); err != nil {
		t.Error(err)
	}
}
