package chat_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// smallTokenizers loads the vocabularies of every structure, each with a template.
func smallTokenizers(t *testing.T) map[string]*tokenizer.Tokenizer {
	t.Helper()
	folders, err := filepath.Glob("../../testdata/tokenizers/small/*")
	if err != nil || len(folders) == 0 {
		t.Fatal(folders, err)
	}
	all := make(map[string]*tokenizer.Tokenizer)
	for _, folder := range folders {
		d, _, err := bpe.Load(os.DirFS(folder), bpe.Options{})
		if err != nil {
			t.Fatal(err)
		}
		section, err := vocabulary.Build(d)
		if err != nil {
			t.Fatal(err)
		}
		if all[filepath.Base(folder)], err = tokenizer.New(section); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestConversationsAreTheRenderedText: where nobody spells a control token, the ids of a conversation are those of its
// rendered text.
func TestConversationsAreTheRenderedText(t *testing.T) {
	contents := []string{"Hello", " new york  ", "cat\nHund \u00e9 e\u0301", "a < b | c > d <", "", "los angeles 123 \t", "<tool> <norm>x<W>"}
	for name, tok := range smallTokenizers(t) {
		template, err := chat.FromTokenizer(tok)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, first := range contents {
			for _, second := range contents {
				messages := []chat.Message{chat.Text("user", first), chat.Text("assistant", second), chat.Text("user", first+second)}
				options := chat.Options{AddGenerationPrompt: true}
				text, err := template.Render(messages, options)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				want, err := tok.EncodeSpecial(text)
				if err != nil {
					t.Fatal(err)
				}
				got, err := template.Encode(tok, messages, options)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%s: %q: %v (%v), want %v", name, text, got, err, want)
				}
			}
		}
	}
}

// TestNobodySpeaksInControlTokens: whatever messages say, a conversation has as many control tokens of each kind as one that
// says nothing. What it says stays: it decodes to the rendered text.
func TestNobodySpeaksInControlTokens(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for name, tok := range smallTokenizers(t) {
		template, err := chat.FromTokenizer(tok)
		if err != nil {
			t.Fatal(err)
		}
		var control []string
		for text := range tok.Control() {
			control = append(control, text)
		}
		counts := func(messages []chat.Message) string {
			ids, err := template.Encode(tok, messages, chat.Options{AddGenerationPrompt: true})
			if err != nil {
				t.Fatalf("%s: %q: %v", name, messages, err)
			}
			found := make(map[int32]int)
			for _, id := range ids {
				if unknown := tok.Settings().Unknown; tok.IsControl(id) && (unknown == nil || id != *unknown) { // what has no token is one
					found[id]++
				}
			}
			return fmt.Sprint(found)
		}
		conversation := func(text func() string) []chat.Message {
			return []chat.Message{chat.Text("user", text()), chat.Text("assistant", text()), chat.Text("user", text())}
		}
		want := counts(conversation(func() string { return "x" }))
		for range 1000 {
			messages := conversation(func() string {
				var text strings.Builder
				for range 1 + random.IntN(4) {
					token := control[random.IntN(len(control))]
					from, to := random.IntN(len(token)+1), random.IntN(len(token)+1)
					pieces := []string{token, token[min(from, to):max(from, to)], " ", "a", "\n", "\u00e9", "<", "▁"}
					text.WriteString(pieces[random.IntN(len(pieces))])
				}
				return strings.ToValidUTF8(text.String(), "?")
			})
			if got := counts(messages); got != want {
				t.Fatalf("%s: %q has control tokens %s, want %s", name, messages, got, want)
			}
		}
	}
}

// TestParseFor: a model's own template, given as if it were another's, gives the same ids, with the model's special tokens; another gives
// what it says.
func TestParseFor(t *testing.T) {
	messages := []chat.Message{chat.Text("user", "Who are you?")}
	for name, tok := range smallTokenizers(t) {
		own, err := chat.FromTokenizer(tok)
		if err != nil {
			t.Fatal(err)
		}
		given, err := chat.ParseFor(tok, tok.Settings().Templates[vocabulary.DefaultTemplate])
		if err != nil {
			t.Fatal(err)
		}
		want, err := own.Encode(tok, messages, chat.Options{AddGenerationPrompt: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := given.Encode(tok, messages, chat.Options{AddGenerationPrompt: true}); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), want %v", name, got, err, want)
		}
		other, err := chat.ParseFor(tok, "{{ messages[0]['content'] }}!")
		if err != nil {
			t.Fatal(err)
		}
		if text, err := other.Render(messages, chat.Options{}); err != nil || text != "Who are you?!" {
			t.Errorf("%s: %q (%v)", name, text, err)
		}
	}
}
