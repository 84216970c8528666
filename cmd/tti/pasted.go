package main

import "strings"

// In a line that is edited, these stand for the line ends and tabs of a paste. The invisible U+FE0E behind each tells them from the same
// symbol that a user typed or pasted, and goes with it when it is deleted.
const (
	lineEndMark = "⏎\ufe0e"
	tabMark     = "⇥\ufe0e"
)

var (
	marked   = strings.NewReplacer("\r\n", lineEndMark, "\n", lineEndMark, "\t", tabMark)
	unmarked = strings.NewReplacer(lineEndMark, "\n", tabMark, "\t")
)

// What a terminal with bracketed paste puts around what is pasted, and what switches that on and off; see XTerm Control Sequences,
// "Bracketed Paste Mode".
const (
	pasteBegin, pasteEnd = "\x1b[200~", "\x1b[201~"
	pasteOn, pasteOff    = "\x1b[?2004h", "\x1b[?2004l"
)

// pasteFilter turns what a terminal sends into what a line editor that knows no bracketed paste makes one line of. The zero value is outside
// of a paste. What is typed passes as it is and at once, and so does the beginning of a paste, which the editor takes for a key that it
// does not know.
type pasteFilter struct {
	inside   bool
	matched  int  // bytes of the sequence that ends this state
	returned bool // the byte before, of a paste, was CR
}

// filter appends to out what in stands for.
func (f *pasteFilter) filter(out, in []byte) []byte {
	for _, c := range in {
		if !f.inside {
			out = append(out, c)
			f.inside = f.matches(pasteBegin, c)
			continue
		}
		held := f.matched
		switch {
		case f.matches(pasteEnd, c):
			f.inside, f.returned = false, false
		case f.matched <= held: // what has been held is no end of the paste
			for _, c := range []byte(pasteEnd[:held]) {
				out = f.paste(out, c)
			}
			if f.matched == 0 {
				out = f.paste(out, c)
			}
		}
	}
	return out
}

// matches takes one more byte and reports whether it completes the sequence. Only the first byte of a sequence is ESC, so another that comes
// to nothing may be the first of one.
func (f *pasteFilter) matches(sequence string, c byte) bool {
	switch {
	case c == sequence[f.matched]:
		f.matched++
	case c == sequence[0]:
		f.matched = 1
	default:
		f.matched = 0
	}
	if f.matched < len(sequence) {
		return false
	}
	f.matched = 0
	return true
}

// paste appends a byte of a paste. Control characters are left out: no key is meant by them.
func (f *pasteFilter) paste(out []byte, c byte) []byte {
	after := f.returned
	f.returned = c == '\r'
	switch {
	case c == '\r', c == '\n' && !after:
		return append(out, lineEndMark...)
	case c == '\t':
		return append(out, tabMark...)
	case c < ' ', c == 0x7f:
		return out
	}
	return append(out, c)
}
