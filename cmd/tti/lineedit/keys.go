package lineedit

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// command is what a key asks for.
type command int

const (
	ignore command = iota
	insert
	accept
	abort
	suspend
	complete
	clearScreen
	newline
	left
	right
	wordLeft
	wordRight
	home
	end
	up
	down
	backspace
	deleteOrLeave
	deleteRight
	killLeft
	killRight
	killWordLeft
	killWordRight
	yank
	transpose
)

// input is a key, or a text that was typed or pasted.
type input struct {
	command command
	text    string // of insert
}

// controls are the keys that send one byte, by the habits of Emacs and of shells.
var controls = map[byte]command{
	'A' & 0x1f: home, 'E' & 0x1f: end, 'B' & 0x1f: left, 'F' & 0x1f: right, 'P' & 0x1f: up, 'N' & 0x1f: down,
	'C' & 0x1f: abort, 'D' & 0x1f: deleteOrLeave, 'Z' & 0x1f: suspend, 'L' & 0x1f: clearScreen,
	'H' & 0x1f: backspace, 0x7f: backspace, 'U' & 0x1f: killLeft, 'K' & 0x1f: killRight, 'W' & 0x1f: killWordLeft,
	'Y' & 0x1f: yank, 'T' & 0x1f: transpose, '\t': complete, '\r': accept, '\n': accept,
}

// sequences are the keys that send more; see XTerm Control Sequences, "PC-Style Function Keys", and what other terminals send for Home and End.
var sequences = map[string]command{
	"\x1b[A": up, "\x1b[B": down, "\x1b[C": right, "\x1b[D": left, "\x1b[H": home, "\x1b[F": end,
	"\x1bOA": up, "\x1bOB": down, "\x1bOC": right, "\x1bOD": left, "\x1bOH": home, "\x1bOF": end,
	"\x1b[1~": home, "\x1b[7~": home, "\x1b[4~": end, "\x1b[8~": end, "\x1b[3~": deleteRight,
	"\x1b[1;5C": wordRight, "\x1b[1;5D": wordLeft, "\x1b[1;3C": wordRight, "\x1b[1;3D": wordLeft,
	"\x1bf": wordRight, "\x1bb": wordLeft, "\x1bd": killWordRight, "\x1b\x7f": killWordLeft, "\x1b\b": killWordLeft,
	"\x1b\r": newline, "\x1b\n": newline,
}

// What a terminal with bracketed paste puts around what is pasted, and what switches that on and off; see XTerm Control Sequences,
// "Bracketed Paste Mode".
const (
	pasteBegin, pasteEnd = "\x1b[200~", "\x1b[201~"
	pasteOn, pasteOff    = "\x1b[?2004h", "\x1b[?2004l"
)

const escape = '\x1b'

// decoder turns what a terminal sends, cut anywhere, into keys and texts.
type decoder struct {
	held    []byte // the beginning of something
	pasting bool
}

// decode returns what is whole.
func (d *decoder) decode(sent []byte) (all []input) {
	d.held = append(d.held, sent...)
	for len(d.held) > 0 {
		n, in := d.first()
		if n == 0 {
			return all
		}
		d.held = d.held[n:]
		if in.command != ignore {
			all = append(all, in)
		}
	}
	return all
}

// first returns what the bytes that are held begin with and how many those are, 0 if more must come.
func (d *decoder) first() (int, input) {
	if d.pasting {
		n := bytes.Index(d.held, []byte(pasteEnd))
		if n < 0 {
			return 0, input{}
		}
		d.pasting = false
		return n + len(pasteEnd), input{insert, plain(string(d.held[:n]))}
	}
	switch c := d.held[0]; {
	case c == escape:
		n := sequenceLength(d.held)
		key := string(d.held[:n])
		d.pasting = key == pasteBegin
		return n, input{command: sequences[key]}
	case c < ' ' || c == 0x7f:
		return 1, input{command: controls[c]}
	}
	n := bytes.IndexFunc(d.held, func(r rune) bool { return r < ' ' || r == 0x7f })
	if n < 0 {
		n = len(d.held) - len(partial(d.held))
	}
	return n, input{insert, plain(string(d.held[:n]))}
}

// partial returns the beginning of a character at the end of a text.
func partial(text []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return nil
			}
			return last
		}
	}
	return nil
}

// sequenceLength returns how many bytes an escape sequence has, 0 if its end has not come; see ECMA-48, 5.4.
func sequenceLength(text []byte) int {
	switch {
	case len(text) < 2:
		return 0
	case text[1] == escape: // the key, and a sequence
		return 1
	case text[1] == 'O' && len(text) < 3:
		return 0
	case text[1] == 'O':
		return 3
	case text[1] != '[':
		return 2
	}
	for i, c := range text[2:] {
		if c < ' ' || c > '?' {
			return i + 3
		}
	}
	return 0
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// plain returns a text with \n for line ends and without other control characters but tabs: no key is meant by what is pasted.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, lineEnds.Replace(strings.ToValidUTF8(text, "\ufffd")))
}
