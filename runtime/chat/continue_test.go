package chat_test

import (
	"fmt"
	"testing"

	"github.com/tti-llm/tti/runtime/chat"
)

// TestContinueFinalMessage: the text ends where the final message's does, as transformers 4.55 and later cut it.
func TestContinueFinalMessage(t *testing.T) {
	const plain = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
	const trimmed = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
	const parts = "{% for m in messages %}<|{{ m.role }}|>{% for p in m.content %}{{ p.text }}{% endfor %}<|end|>{% endfor %}"
	const none = "{% for m in messages %}<|{{ m.role }}|>{% endfor %}"
	question := chat.Text("user", "q")
	for _, c := range []struct {
		template string
		final    chat.Message
		want     string // "" is an error
	}{
		{plain, chat.Text("assistant", "The answer"), "<|user|>q<|end|><|assistant|>The answer"},
		{plain, chat.Text("assistant", "  The answer \n"), "<|user|>q<|end|><|assistant|>  The answer \n"},
		{trimmed, chat.Text("assistant", " The answer \n"), "<|user|>q<|end|><|assistant|>The answer"},
		{trimmed, chat.Text("assistant", "q"), "<|user|>q<|end|><|assistant|>q"},
		{plain, chat.Text("assistant", ""), "<|user|>q<|end|><|assistant|>"},
		{plain, chat.Text("assistant", "<|end|>"), "<|user|>q<|end|><|assistant|><|end|>"},
		{parts, object("role", "assistant", "content", []any{object("text", "a"), object("text", "b"), object("image", "c")}), "<|user|>q<|end|><|assistant|>ab"},
		{parts, object("role", "assistant", "content", []any{object("image", "c")}), ""},
		{plain, object("role", "assistant"), ""},
		{none, chat.Text("assistant", "The answer"), ""},
	} {
		template, err := chat.Parse(chat.Source{Template: c.template})
		if err != nil {
			t.Fatal(err)
		}
		first := question
		if c.template == parts {
			first = object("role", "user", "content", []any{object("text", "q")})
		}
		messages := []chat.Message{first, c.final}
		before, options := fmt.Sprint(messages), chat.Options{ContinueFinalMessage: true}
		got, err := template.Render(messages, options)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s with %q: %q, %v; want %q", c.template, c.final, got, err, c.want)
		}
		// Those of the two roles and the end of the question.
		controls := 3
		if c.want == "" {
			controls = 0
		}
		encoder := runes{controlTokens}
		ids, err := template.Encode(encoder, messages, options)
		if text, control := encoder.decode(ids); text != c.want || (err != nil) != (c.want == "") || len(control) != controls {
			t.Errorf("%s with %q: encoded as %q with %d control tokens, %v; want %q", c.template, c.final, text, len(control), err, c.want)
		}
		if after := fmt.Sprint(messages); after != before {
			t.Errorf("the caller's messages have become %s", after)
		}
		if _, err := template.Render(messages, chat.Options{ContinueFinalMessage: true, AddGenerationPrompt: true}); err == nil {
			t.Error("an answer's prompt behind an open message is accepted")
		}
	}
	template, err := chat.Parse(chat.Source{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := template.Render(nil, chat.Options{ContinueFinalMessage: true}); err == nil {
		t.Error("no message is continued")
	}
}
