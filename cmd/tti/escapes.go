package main

import (
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// visible returns text that does not steer a terminal: control characters other than newline and tab are symbols, and
// bytes that are not UTF-8 are U+FFFD.
func visible(text string) string { return symbols(text, "\n\t") }

// printable returns a name, or a value from a file, as it can stand within a line.
func printable(name string) string { return symbols(name, "") }

// symbols returns text with pictures of all control characters but the kept ones. There are pictures of the characters up to
// U+001F and of U+007F; one from U+0080 to U+009F does what ESC and the character 64 below it do together
// (ECMA-48, 5.3), so it is shown as these two.
func symbols(text, keep string) string {
	if strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) < 0 {
		return text
	}
	var shown strings.Builder
	for _, r := range text {
		switch {
		case !unicode.IsControl(r) || strings.ContainsRune(keep, r):
			shown.WriteRune(r)
		case r < ' ':
			shown.WriteRune('␀' + r)
		case r == 0x7f:
			shown.WriteRune('␡')
		default:
			shown.WriteRune('␛')
			shown.WriteRune(r - 0x40)
		}
	}
	return shown.String()
}

// escapesFlag says what becomes of control characters in a model's text on a terminal.
type escapesFlag struct{ choice }

const (
	showEscapes = "show"
	keepEscapes = "keep"
)

func (f *escapesFlag) register(cmd *cobra.Command) {
	f.choice = choice{showEscapes, []string{showEscapes, keepEscapes}}
	f.choice.register(cmd, "escapes", "what to do with control characters on a terminal: show symbols, or keep them")
}

// text returns a model's text as it is written to a stream. Files and pipes get it as it is.
func (f *escapesFlag) text(text string, stream any) string {
	if isTerminal(stream) && f.value != keepEscapes {
		return visible(text)
	}
	return text
}
