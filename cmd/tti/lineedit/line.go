package lineedit

import (
	"strings"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// line is a text that is edited, perhaps of several lines. It consists of what a user takes for characters; see Unicode Standard Annex 29.
type line struct {
	characters []string
	at         int // of the cursor
	killed     string
}

func characters(text string) (all []string) {
	for each := graphemes.FromString(text); each.Next(); {
		all = append(all, each.Value())
	}
	return all
}

func (l *line) text() string   { return strings.Join(l.characters, "") }
func (l *line) before() string { return strings.Join(l.characters[:l.at], "") }

// set replaces the text, with the cursor behind so many bytes of it.
func (l *line) set(text string, cursor int) {
	l.characters, l.at = characters(text), 0
	for n := 0; n < cursor; l.at++ {
		n += len(l.characters[l.at])
	}
}

// insert puts a text before the cursor. What it begins with may join the character that stands there.
func (l *line) insert(text string) {
	before := l.before() + text
	l.set(before+strings.Join(l.characters[l.at:], ""), len(before))
}

// remove takes out the characters between two places, and puts the cursor there.
func (l *line) remove(from, to int) string {
	removed := strings.Join(l.characters[from:to], "")
	before := strings.Join(l.characters[:from], "")
	l.set(before+strings.Join(l.characters[to:], ""), len(before))
	return removed
}

// kill removes up to another place what yank brings back.
func (l *line) kill(to int) {
	if to != l.at {
		l.killed = l.remove(min(l.at, to), max(l.at, to))
	}
}

func isSpace(character string) bool { return strings.TrimSpace(character) == "" }

// wordLeft returns where the word at or before the cursor begins.
func (l *line) wordLeft() int {
	n := l.at
	for n > 0 && isSpace(l.characters[n-1]) {
		n--
	}
	for n > 0 && !isSpace(l.characters[n-1]) {
		n--
	}
	return n
}

// wordRight returns where the word at or after the cursor ends.
func (l *line) wordRight() int {
	n := l.at
	for n < len(l.characters) && isSpace(l.characters[n]) {
		n++
	}
	for n < len(l.characters) && !isSpace(l.characters[n]) {
		n++
	}
	return n
}

// begin returns where the cursor's line of the text begins.
func (l *line) begin() int {
	n := l.at
	for n > 0 && l.characters[n-1] != "\n" {
		n--
	}
	return n
}

// end returns where it ends.
func (l *line) end() int {
	n := l.at
	for n < len(l.characters) && l.characters[n] != "\n" {
		n++
	}
	return n
}

// do carries out a key that needs the text alone.
func (l *line) do(in input) {
	last := len(l.characters)
	switch in.command {
	case insert:
		l.insert(in.text)
	case newline:
		l.insert("\n")
	case yank:
		l.insert(l.killed)
	case left:
		l.at = max(0, l.at-1)
	case right:
		l.at = min(last, l.at+1)
	case wordLeft:
		l.at = l.wordLeft()
	case wordRight:
		l.at = l.wordRight()
	case home:
		l.at = l.begin()
	case end:
		l.at = l.end()
	case backspace:
		l.remove(max(0, l.at-1), l.at)
	case deleteRight, deleteOrLeave:
		l.remove(l.at, min(last, l.at+1))
	case killLeft:
		l.kill(l.begin())
	case killRight:
		l.kill(l.end())
	case killWordLeft:
		l.kill(l.wordLeft())
	case killWordRight:
		l.kill(l.wordRight())
	case transpose:
		if n := min(l.at, last-1); n > 0 {
			l.at = n
			moved := l.remove(n-1, n)
			l.at = min(len(l.characters), l.at+1)
			l.insert(moved)
		}
	}
}
