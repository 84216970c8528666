package chat_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tti-llm/tti/runtime/chat"
)

// ownCases holds our own templates and what they give by Jinja2; see its README.
const ownCases = "../../testdata/tokenizers/chat"

// format is the first line of a file of cases.
type format struct {
	Name     string
	Template string
	BOS      *string `json:"bos_token"`
	EOS      *string `json:"eos_token"`
	UNK      *string `json:"unk_token"`
	PAD      *string `json:"pad_token"`
	Now      string
}

func token(text *string) chat.Token {
	if text == nil {
		return chat.Token{}
	}
	return chat.Define(*text)
}

func (f format) source() chat.Source {
	return chat.Source{Template: f.Template, BOS: token(f.BOS), EOS: token(f.EOS), UNK: token(f.UNK), PAD: token(f.PAD)}
}

func (f format) clock(t testing.TB) func() time.Time {
	t.Helper()
	now, err := time.Parse("2006-01-02T15:04:05", f.Now)
	if err != nil {
		t.Fatal(err)
	}
	return func() time.Time { return now }
}

// chatCase is any other line.
type chatCase struct {
	Case                string
	Messages            []chat.Message
	AddGenerationPrompt bool `json:"add_generation_prompt"`
	Kwargs              chat.Object
	Want                *string
	Error               string
}

func (c chatCase) options(now func() time.Time) chat.Options {
	return chat.Options{AddGenerationPrompt: c.AddGenerationPrompt, Variables: c.Kwargs, Now: now}
}

// object makes an object of names and values in turn.
func object(pairs ...any) chat.Object {
	o := chat.Object{}
	for i := 0; i < len(pairs); i += 2 {
		o = append(o, chat.Field{Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return o
}

// readCases reads a file of cases.
func readCases(t testing.TB, name string) (f format, cases []chatCase) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		if f.Name == "" {
			err = json.Unmarshal(lines.Bytes(), &f)
		} else {
			var c chatCase
			err = json.Unmarshal(lines.Bytes(), &c)
			cases = append(cases, c)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := lines.Err(); err != nil || len(cases) == 0 {
		t.Fatalf("%s: %d cases, %v", name, len(cases), err)
	}
	return f, cases
}

func caseFiles(t testing.TB, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: no cases, %v", folder, err)
	}
	return names
}

// checkCases renders all cases of a file and returns how many differ from the reference.
func checkCases(t *testing.T, name string) (wrong int) {
	f, cases := readCases(t, name)
	template, err := chat.Parse(f.source())
	if err != nil {
		t.Error(err)
		return len(cases)
	}
	for _, c := range cases {
		got, err := template.Render(c.Messages, c.options(f.clock(t)))
		switch {
		case c.Want == nil && err == nil:
			t.Errorf("%s: renders %q; the reference fails: %s", c.Case, got, c.Error)
			wrong++
		case c.Want != nil && err != nil:
			t.Errorf("%s: %v", c.Case, err)
			wrong++
		case c.Want != nil && got != *c.Want:
			t.Errorf("%s: differs\n got %q\nwant %q", c.Case, got, *c.Want)
			wrong++
		}
	}
	t.Logf("%d cases", len(cases))
	return wrong
}

// TestOwnTemplates: our own templates give Jinja2's bytes.
func TestOwnTemplates(t *testing.T) {
	for _, name := range caseFiles(t, ownCases) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".jsonl"), func(t *testing.T) { checkCases(t, name) })
	}
}

// TestRealTemplates: the templates of published models give Jinja2's bytes. They are their publishers' text and lie outside of
// the repository, in the folder that TTI_CHAT_CASES names.
func TestRealTemplates(t *testing.T) {
	folder := os.Getenv("TTI_CHAT_CASES")
	if folder == "" {
		t.Skip("TTI_CHAT_CASES names no folder")
	}
	for _, name := range caseFiles(t, folder) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".jsonl"), func(t *testing.T) { checkCases(t, name) })
	}
}
