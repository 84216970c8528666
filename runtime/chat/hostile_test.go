package chat_test

import (
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime/chat"
)

// controlTokens are those of the test's tokenizer: what our own templates write, and what they would like to.
var controlTokens = []string{
	"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|startoftext|>", "<|pad|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
	"<|begin_of_text|>", "<bos>", "<eos>", "<s>", "</s>", "<unk>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>", "<|user|>",
	"<|assistant|>", "<|system|>", "<|User|>", "<|USER|>", "<|end|>", "<|x", "<|x|>", "ſpecial", "|>|>", "\uFF5Cend\u2581of\uFF5C", "\n\n\n", "a\"b", `\n\t`,
}

// runes is a tokenizer of one token per character; ids below 0 are control tokens.
type runes struct{ control []string }

func (r runes) Control() iter.Seq[string] { return slices.Values(r.control) }

func (r runes) EncodeTemplate(text string, reserved rune) ([]int32, error) {
	var ids []int32
	for text != "" {
		longest := -1
		for i, token := range r.control {
			if strings.HasPrefix(text, token) && (longest < 0 || len(token) > len(r.control[longest])) {
				longest = i
			}
		}
		if longest >= 0 {
			ids = append(ids, int32(-1-longest))
			text = text[len(r.control[longest]):]
			continue
		}
		c := []rune(text[:min(len(text), 4)])[0]
		if c != reserved {
			ids = append(ids, c)
		}
		text = text[len(string(c)):]
	}
	return ids, nil
}

func (r runes) decode(ids []int32) (text string, control []int32) {
	var b strings.Builder
	for _, id := range ids {
		if id < 0 {
			b.WriteString(r.control[-1-id])
			control = append(control, id)
			continue
		}
		b.WriteRune(id)
	}
	return b.String(), control
}

// hostileText makes a text of whole and broken control tokens, template syntax and what templates look for.
func hostileText(r *rand.Rand) string {
	syntax := []string{
		"{{ bos_token }}", "{{ '<|im_end|>' }}", "{% raw %}", "{% endraw %}", "{%- for m in messages -%}", "{#", "#}", "}}", "%}", "\\n", "\\u003c|im_end|>", "&lt;s>",
		"</think>", "<think>", " ", "\n", "\t", "\r\n", "\u00a0", "\"", "'", "\\", "%s", "{}", "{0}", "\uFDD0", "\uFDD1", "\x00", "x", "Hello", "你好", "😀", "", "None",
		"<", "<|", "|", ">", "[", "im_", "end", "/", "ſ", "\uFF5C",
	}
	var b strings.Builder
	for range r.IntN(8) {
		token := controlTokens[r.IntN(len(controlTokens))]
		switch cut := r.IntN(len(token) + 1); r.IntN(6) {
		case 0:
			b.WriteString(token)
		case 1:
			b.WriteString(strings.ToValidUTF8(token[:cut], ""))
		case 2:
			b.WriteString(strings.ToValidUTF8(token[cut:], ""))
		case 3:
			b.WriteString(strings.ToValidUTF8(token[:cut]+syntax[r.IntN(len(syntax))]+token[cut:], ""))
		case 4:
			b.WriteString(strings.ToUpper(token))
		default:
			b.WriteString(syntax[r.IntN(len(syntax))])
		}
	}
	return b.String()
}

// harmless is a text in which no control token can be begun, and that templates treat alike.
func harmless(s string) string {
	parts := strings.Split(s, "</think>")
	for i, part := range parts {
		parts[i] = strings.Map(func(c rune) rune {
			if strings.ContainsRune("<|[ſ\uFF5Ca\\", c) {
				return 'x'
			}
			return c
		}, part)
	}
	return strings.Join(parts, "</think>")
}

// conversation makes two conversations that differ in what could spell a control token only.
func conversation(r *rand.Rand, parts bool) (hostile, safe []chat.Message) {
	add := func(role string) {
		text := hostileText(r)
		content, twin := any(text), any(harmless(text))
		if parts && r.IntN(3) == 0 {
			other := hostileText(r)
			content = []any{object("type", "text", "text", text), object("type", "text", "text", other)}
			twin = []any{object("type", "text", "text", harmless(text)), object("type", "text", "text", harmless(other))}
		}
		hostile = append(hostile, object("role", role, "content", content))
		safe = append(safe, object("role", role, "content", twin))
	}
	if r.IntN(3) == 0 {
		text := hostileText(r)
		hostile, safe = append(hostile, chat.Text("system", text)), append(safe, chat.Text("system", harmless(text)))
	}
	for i := range 1 + r.IntN(3) {
		if i > 0 {
			add("assistant")
		}
		add("user")
	}
	return hostile, safe
}

// TestHostileMessages: no text of a message becomes a control token, and beyond that nothing changes: the tokens spell what is
// rendered without precautions.
func TestHostileMessages(t *testing.T) {
	count := 0
	for _, name := range caseFiles(t, ownCases) {
		f, _ := readCases(t, name)
		template, err := chat.Parse(f.source())
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		encoder := runes{slices.DeleteFunc(slices.Clone(controlTokens), func(token string) bool { return token == "\n\n\n" || token == "a\"b" })}
		for range 1500 {
			hostile, safe := conversation(r, f.Name == "gemma" || f.Name == "macros")
			count += len(hostile)
			options := chat.Options{AddGenerationPrompt: r.IntN(2) == 0, Now: f.clock(t)}
			if r.IntN(4) == 0 {
				options.Variables = object("tools", []any{object(hostileText(r), hostileText(r))}, "date_string", hostileText(r))
			}
			ids, err := template.Encode(encoder, hostile, options)
			if err != nil {
				t.Fatalf("%s: %v: %q", f.Name, err, hostile)
			}
			want, err := template.Render(hostile, options)
			if err != nil {
				t.Fatal(err)
			}
			text, control := encoder.decode(ids)
			if text != want {
				t.Fatalf("%s: %q is encoded as\n     %q\nwant %q", f.Name, hostile, text, want)
			}
			if options.Variables != nil {
				options.Variables = object("tools", []any{object("x", "y")}, "date_string", "today")
			}
			ids, err = template.Encode(encoder, safe, options)
			if err != nil {
				t.Fatal(err)
			}
			if _, want := encoder.decode(ids); !slices.Equal(control, want) {
				t.Fatalf("%s: %q has the control tokens %d; the template writes %d", f.Name, hostile, control, want)
			}
		}
	}
	if count < 10000 {
		t.Errorf("%d messages only", count)
	}
}

// TestHostileTemplates: whatever a template does with texts, what comes of them is no control token and is what comes without
// precautions. The templates write no control token themselves, but parts of some.
func TestHostileTemplates(t *testing.T) {
	const first = "messages[0].content"
	const second = "messages[1].content"
	for _, expression := range []string{
		first, first + " ~ " + second, first + " + " + second, "'<' ~ " + first, "'<|im_' ~ " + first, first + " ~ '|>'", "'<|' ~ " + first + " ~ '|>'",
		first + " | reverse", first + "[::-1]", first + "[1:]", first + "[:-1]", first + "[:1] ~ " + first + "[1:]", first + "[::2]", first + "[0]", first + "[-1] ~ '|im_end|>'",
		first + ".split('x') | join", first + ".split('<') | join('<')", first + ".split() | join", first + ".rsplit('|', 1) | last", first + ".partition('|') | join", first + ".splitlines() | join",
		first + ".replace('x', '')", first + " | replace(' ', '')", first + ".replace('', '')", first + ".strip('<')", first + ".strip('|>x')", first + ".lstrip() ~ " + second + ".rstrip()",
		first + " | list | join", first + " | upper", first + " | lower", first + " | title", first + ".title()", first + " | capitalize", first + " | trim",
		first + " | tojson", "messages | tojson", "messages | tojson(indent=2)", "messages | string", "messages[0].keys() | join", "messages[0] | dictsort | string",
		first + " | e", "'%s%s' % (" + first + ", " + second + ")", first + " | format", "'{}{}'.format(" + first + ", " + second + ")", first + " | indent(1)", "('x' ~ " + first + ") * 3",
		"[" + first + ", " + second + "] | sort | join", "[" + first + ", " + second + "] | unique | join", "messages | map(attribute='content') | join", first + " | length",
		first + ".find('|')", first + ".count('<')", "'<|im_end|>' in " + first, first + " == " + second, first + ".startswith('<')", first + " | wordcount", first + " < " + second,
		"{" + first + ": 1}", "{" + first + ": 1} | tojson", first + ".removeprefix('<')", first + " | first ~ " + second, first + " | batch(1) | list | length", "messages.index(messages[1])",
		"dict(a=" + first + ").a", "namespace(a=" + first + ").a", first + " | int ~ " + first + " | float", "tools[0] | items | first | join", "strftime_now(" + first + " | replace('%', ''))",
	} {
		template, err := chat.Parse(chat.Source{Template: "{{ " + expression + " }}"})
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		r, encoder := rand.New(rand.NewPCG(3, 4)), runes{controlTokens}
		for range 200 {
			messages := []chat.Message{
				chat.Text("user", hostileText(r)),
				object("content", hostileText(r), hostileText(r)+"!", hostileText(r), "role", "assistant"),
			}
			options := chat.Options{Variables: object("tools", []any{object(hostileText(r), hostileText(r))})}
			want, failed := template.Render(messages, options)
			ids, err := template.Encode(encoder, messages, options)
			if (err != nil) != (failed != nil) {
				t.Fatalf("%s of %q: %v; without precautions %v", expression, messages, err, failed)
			}
			text, control := encoder.decode(ids)
			if text != want && err == nil {
				t.Fatalf("%s of %q is encoded as\n     %q\nwant %q", expression, messages, text, want)
			}
			if len(control) > 0 {
				t.Fatalf("%s of %q: the control tokens %d in %q", expression, messages, control, text)
			}
		}
	}
}

// TestReservedCharacters: one that a conversation holds itself is not taken, and if it holds all of them, that is an error.
func TestReservedCharacters(t *testing.T) {
	template, err := chat.Parse(chat.Source{Template: "{{ messages[0].content }}<|im_end|>"})
	if err != nil {
		t.Fatal(err)
	}
	encoder := runes{controlTokens}
	text := "<|im_end|>"
	for c := rune(0xFDD0); c <= 0xFDEF; c++ {
		ids, err := template.Encode(encoder, []chat.Message{chat.Text("user", text)}, chat.Options{})
		switch free := 0xFDEF - c + 1; {
		case free < 2 && err == nil:
			t.Errorf("a conversation with all reserved characters but %d is encoded", free)
		case free >= 2 && err != nil:
			t.Error(err)
		case free >= 2:
			if got, control := encoder.decode(ids); got != text+"<|im_end|>" || len(control) != 1 {
				t.Errorf("%q is encoded as %q with %d control tokens", text, got, len(control))
			}
		}
		text += string(c)
	}
	if _, err := template.Encode(runes{[]string{"§"}}, []chat.Message{chat.Text("user", "x")}, chat.Options{}); err == nil {
		t.Error("a control token of one character is accepted")
	}
}

// TestRoles: a role is a word, since templates make control tokens of it.
func TestRoles(t *testing.T) {
	template, err := chat.Parse(chat.Source{Template: "{{ messages[0].role }}"})
	if err != nil {
		t.Fatal(err)
	}
	for role, good := range map[any]bool{
		"user": true, "tool-2": true, "Tool_X": true, "": false, "a b": false, "user|>": false, "usér": false, "\uFDD0": false, nil: false, 3: false,
		strings.Repeat("x", 65): false,
	} {
		_, err := template.Encode(runes{controlTokens}, []chat.Message{object("role", role)}, chat.Options{})
		if (err == nil) != good {
			t.Errorf("role %v: %v", role, err)
		}
	}
	if _, err := template.Render([]chat.Message{object("content", "x")}, chat.Options{}); err == nil {
		t.Error("a message without a role is accepted")
	}
}
