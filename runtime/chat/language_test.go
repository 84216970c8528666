package chat_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime/chat"
)

// refused are parts of the language that Jinja2 has and we refuse, by what the templates hold that show it.
var refused = []string{
	"groupby", "center(", "truncate", "urlencode", "slice(2)", "zfill", "%o", "%c", "loop.changed", "recursive", "block a", "autoescape",
	"cycler", "joiner", "varargs",
}

func isRefused(template string) bool {
	return slices.ContainsFunc(refused, func(part string) bool { return strings.Contains(template, part) })
}

// TestLanguage: the language's parts give Jinja2's bytes, and fail where it fails. What we
// refuse though Jinja2 has it ends in an error.
func TestLanguage(t *testing.T) {
	file, err := os.Open("../../testdata/tokenizers/jinja2/language.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var variables chat.Object
	lines, count := bufio.NewScanner(file), 0
	for lines.Scan() {
		var line struct {
			Variables chat.Object
			Template  string
			Want      *string
			Error     string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Variables != nil {
			variables = line.Variables
			continue
		}
		count++
		got, err := "", error(nil)
		template, err := chat.Parse(chat.Source{Template: line.Template})
		if err == nil {
			got, err = template.Render(nil, chat.Options{Variables: variables})
		}
		switch {
		case isRefused(line.Template):
			if err == nil {
				t.Errorf("%q renders %q and is in the list of what we refuse", line.Template, got)
			}
		case line.Want == nil && err == nil:
			t.Errorf("%q renders %q; Jinja2 fails: %s", line.Template, got, line.Error)
		case line.Want != nil && err != nil:
			t.Errorf("%q: %v; want %q", line.Template, err, *line.Want)
		case line.Want != nil && got != *line.Want:
			t.Errorf("%q renders\n     %q\nwant %q", line.Template, got, *line.Want)
		}
	}
	t.Logf("%d templates", count)
}
