package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/tti-llm/tti/format"
)

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain é\n\ttext":  "plain é\n\ttext",
		"\x1b[31mred":      "␛[31mred",
		"\u009b31mred":     "␛[31mred",
		"a\r\nb\x00\x07":   "a␍\nb␀␇",
		"\x7f\u0080\u009f": "␡␛@␛_",
		"\xff\x9b2J":       "��2J",
		"\ufffd":           "�",
		"":                 "",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got, want := printable("a\nb\tc\x1b"), "a␊b␉c␛"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// harmless fails where text could steer a terminal.
func harmless(t *testing.T, text string) {
	t.Helper()
	if at := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); at >= 0 || !utf8.ValidString(text) {
		t.Errorf("control characters in %q", text[max(0, at):min(len(text), max(0, at)+200)])
	}
}

// hostileText moves the cursor, sets the title, clears the screen and rings the bell.
const hostileText = "\x1b[31m\x1b]0;title\x07\u009b2J\x7f\r\u0085\x08"

// withMeta returns a copy of the draft model's file with another meta section.
func withMeta(t *testing.T, change func(meta *format.Meta)) string {
	t.Helper()
	file, err := format.Open(draftInt8)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	meta, err := file.Meta()
	if err != nil {
		t.Fatal(err)
	}
	change(&meta)
	text, err := meta.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sections := file.Sections()
	contents := func(i int) []byte {
		if sections[i].Kind == format.KindMeta {
			return text
		}
		return file.Bytes(file.Sections()[i])
	}
	for i := range sections {
		if sections[i].Kind == format.KindMeta {
			sections[i].Shape = []int{len(text)}
		}
	}
	path := filepath.Join(t.TempDir(), "changed.tti")
	err = format.Write(t.Context(), path, sections, func(_ context.Context, i int, w io.Writer) error {
		_, err := w.Write(contents(i))
		return err
	}, format.WriteOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// hostileFile has control characters wherever meta takes text.
func hostileFile(t *testing.T) string {
	t.Helper()
	return withMeta(t, func(meta *format.Meta) {
		meta.Mode, meta.Tool, meta.Specification = "mode"+hostileText, "tool"+hostileText, "1.0"+hostileText
		sum := strings.Repeat("0", 64)
		meta.Sources = map[string]string{"source" + hostileText: sum}
		more, err := json.Marshal(hostileText)
		if err != nil {
			t.Fatal(err)
		}
		meta.Hyperparameters = []byte(strings.TrimSuffix(string(meta.Hyperparameters), "}") + "," + string(more) + ":" + string(more) + "}")
	})
}

func TestHostileMetaIsHarmless(t *testing.T) {
	path := hostileFile(t)
	for _, args := range [][]string{{"inspect", path}, {"inspect", path, "--json"}, {"verify", path}} {
		text := succeeds(t, "", args...)
		harmless(t, text)
		if args[0] == "inspect" && !strings.Contains(text, "title") {
			t.Errorf("%q does not show what is in the file", args)
		}
	}
	var found inspection
	if err := json.Unmarshal([]byte(succeeds(t, "", "inspect", path, "--json")), &found); err != nil || found.Mode != "mode"+hostileText {
		t.Errorf("as JSON the mode is %q (%v)", found.Mode, err)
	}
	architecture := withMeta(t, func(meta *format.Meta) { meta.Architecture = hostileText })
	for _, args := range [][]string{
		{"run", architecture, "--prompt", "x"}, {"export", architecture, "-o", t.TempDir()}, {"run", hostileText}, {hostileText},
		{"convert", hostileText}, {"inspect", path, "--" + hostileText},
	} {
		if o := tti(t, "", args...); o.code == 0 {
			t.Errorf("%q succeeds", args)
		} else {
			harmless(t, o.stderr)
		}
	}
}

// TestNamesMatchExactly runs a file whose hyperparameters have names that encoding/json would take for others.
func TestNamesMatchExactly(t *testing.T) {
	args := []string{"--prompt", "The wolf", "-n", "20", "--temp", "0"}
	want := succeeds(t, "", append([]string{"run", draftInt8}, args...)...)
	for _, more := range []string{`"layer_norm_epſilon":0.5`, `"ſcale_attn_weights":false`, `"tied_heaD":false`} {
		path := withMeta(t, func(meta *format.Meta) {
			meta.Hyperparameters = []byte(strings.TrimSuffix(string(meta.Hyperparameters), "}") + "," + more + "}")
		})
		if got := succeeds(t, "", append([]string{"run", path}, args...)...); got != want {
			t.Errorf("with %s the text is %q, want %q", more, got, want)
		}
	}
}

// TestPipesGetTextAsItIs decodes control characters to a file.
func TestPipesGetTextAsItIs(t *testing.T) {
	ids := strings.TrimSpace(succeeds(t, hostileText, "tokenize", draftInt8))
	for _, escapes := range []string{showEscapes, keepEscapes} {
		if got := succeeds(t, "", "tokenize", draftInt8, "--decode", ids, "--escapes", escapes); got != hostileText {
			t.Errorf("%s: %q, want %q", escapes, got, hostileText)
		}
	}
	refuses(t, 2, "want one of show, keep", "tokenize", draftInt8, "--escapes", "x")
	if o := tti(t, "", "run", filepath.Join(os.TempDir(), "no"+hostileText+".tti")); o.code != 1 || strings.Count(o.stderr, "\n") != 1 {
		t.Errorf("%+v", o)
	}
}
