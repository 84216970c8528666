package main

import (
	"strings"
	"testing"
)

// TestPasteFilter sends keys and pastes, whole and in two parts cut anywhere.
func TestPasteFilter(t *testing.T) {
	paste := func(text string) string { return pasteBegin + text + pasteEnd }
	for _, c := range []struct{ sent, line string }{
		{"typed\r", "typed\r"},
		{"\x1b[A\x1b[3~\x1b", "\x1b[A\x1b[3~\x1b"},
		{paste("one\rtwo\nthree\r\nfour"), pasteBegin + "one⏎\ufe0etwo⏎\ufe0ethree⏎\ufe0efour"},
		{paste("a\n\nb\r\rc"), pasteBegin + "a⏎\ufe0e⏎\ufe0eb⏎\ufe0e⏎\ufe0ec"},
		{paste("\tif"), pasteBegin + "⇥\ufe0eif"},
		{paste("a\x03\x04\x1b[31mb\x7f"), pasteBegin + "a[31mb"},
		{paste("\x1b[20\x1b[20x"), pasteBegin + "[20[20x"},
		{paste("\x1b\x1b"), pasteBegin},
		{paste("é") + "\n" + paste("x"), pasteBegin + "é\n" + pasteBegin + "x"},
		{paste("a\r") + "\n", pasteBegin + "a⏎\ufe0e\n"},
	} {
		for cut := range len(c.sent) + 1 {
			var f pasteFilter
			got := string(f.filter(f.filter(nil, []byte(c.sent[:cut])), []byte(c.sent[cut:])))
			if got != c.line {
				t.Errorf("%q, cut at %d, gives %q, want %q", c.sent, cut, got, c.line)
			}
		}
	}
}

// TestMarksAreTakenBack: what was pasted comes back, and a symbol that a user typed stays one.
func TestMarksAreTakenBack(t *testing.T) {
	for _, text := range []string{"one\ntwo\n\n\tthree", "⏎ and ⇥ are symbols\n"} {
		line := marked.Replace(text)
		if strings.ContainsAny(line, "\n\t") || unmarked.Replace(line) != text {
			t.Errorf("%q is edited as %q and comes back as %q", text, line, unmarked.Replace(line))
		}
	}
}
