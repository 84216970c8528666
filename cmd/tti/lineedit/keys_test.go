package lineedit

import (
	"slices"
	"strings"
	"testing"
)

// typing returns the text that keys make, with a | for the cursor, and what else they ask for.
func typing(all []input) (text string, others []command) {
	var l line
	for _, in := range all {
		switch in.command {
		case accept, abort, suspend, complete, clearScreen, up, down:
			others = append(others, in.command)
		default:
			l.do(in)
		}
	}
	return l.before() + "|" + strings.Join(l.characters[l.at:], ""), others
}

// TestKeys sends keys and pastes, whole and in two parts cut anywhere.
func TestKeys(t *testing.T) {
	paste := func(text string) string { return pasteBegin + text + pasteEnd }
	const ctrlLeft, ctrlRight, rubout = "\x1b[1;5D", "\x1b[1;5C", "\x7f"
	for _, c := range []struct {
		sent, text string
		others     []command
	}{
		{"one two", "one two|", nil},
		{"one\x1b[D\x1bODX", "oX|ne", nil},
		{"one\x01X\x05Y\x1b[HZ\x1b[4~", "ZXoneY|", nil},
		{"one two three" + ctrlLeft + "\x1bbX", "one X|two three", nil},
		{"one two\x01" + ctrlRight + "X", "oneX| two", nil},
		{"one two  \x17X", "one X|", nil},
		{"one two\x17\x15\x19\x19", "one one |", nil},
		{"one two\x01\x1bd\x05\x19", " twoone|", nil},
		{"one two\x02\x02\x0bX\x01\x19", "wo|one tX", nil},
		{"ab\x02\x1b[3~\x04", "a|", nil},
		{"ab\x14c\x02\x14", "bca|", nil},
		{"\x14a\x14", "a|", nil},
		{"one" + rubout + "\x08", "o|", nil},
		{rubout + "\x1b[D\x1b[C\x1b[3~", "|", nil},
		{"one\x1b\rtwo\x01X\x0b", "one\nX|", nil},
		{"one\x1b\rtwo\x15\x15", "one\n|", nil},
		{"e\u0301" + rubout + "👩\u200d👧\x02X", "X|👩\u200d👧", nil},
		{"日本\x02", "日|本", nil},
		{"x\x02e\x1b[C\u0301", "ex\u0301|", nil},
		{"\x1b[99~\x1b[1;2A\x1b[?1u\x1bx\x1bOPa\x00\x1b\x1b[Db", "b|a", nil},
		{"\x1b[A\x1bOB\r\n\x03\x1a\t\x0c", "|", []command{up, down, accept, accept, abort, suspend, complete, clearScreen}},
		{paste("one\rtwo\nthree\r\nfour"), "one\ntwo\nthree\nfour|", nil},
		{paste("a\n\nb\r\rc"), "a\n\nb\n\nc|", nil},
		{paste("\tif"), "\tif|", nil},
		{paste("a\x03\x04\x1b[31mb\x7f\u009b"), "a[31mb|", nil},
		{paste("\x1b[20\x1b[20x"), "[20[20x|", nil},
		{paste("é") + "\r" + paste("x"), "éx|", []command{accept}},
		{"a\xff", "a\ufffd|", nil},
		{"\u009bA\u0085", "A|", nil},
	} {
		for cut := range len(c.sent) + 1 {
			var d decoder
			text, others := typing(append(d.decode([]byte(c.sent[:cut])), d.decode([]byte(c.sent[cut:]))...))
			if text != c.text || !slices.Equal(others, c.others) {
				t.Errorf("%q, cut at %d, gives %q and %v, want %q and %v", c.sent, cut, text, others, c.text, c.others)
			}
		}
	}
}
