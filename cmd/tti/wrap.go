package main

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/tti-llm/tti/cmd/tti/lineedit"
)

// wrapper breaks a text that comes in pieces into lines at its words. A word is held back until it is whole, and the spaces before it until
// it is known on which line it stands. A word that is longer than a line is broken by the terminal.
type wrapper struct {
	out   io.Writer
	width func() int // of a line, asked for every word, since windows change; 0: unlimited

	column int // after what has been written
	spaces string
	word   strings.Builder // with its colours
	length int             // of the word, in columns
}

// write takes the next piece of the text and colours it.
func (w *wrapper) write(text string, colour func(string) string) error {
	for text != "" {
		n := strings.IndexFunc(text, breaks)
		switch {
		case n < 0:
			n = len(text)
		case n == 0:
			r, size := utf8.DecodeRuneInString(text)
			text = text[size:]
			if err := w.place(r, colour); err != nil {
				return err
			}
			continue
		}
		w.word.WriteString(colour(text[:n]))
		w.length += columns(text[:n])
		text = text[n:]
	}
	return nil
}

// breaks reports whether a line may be broken at a character: white space, and scripts that put none between words.
func breaks(r rune) bool {
	return r == '\n' || r == ' ' || r == '\t' || runewidth.RuneWidth(r) == 2 && !unicode.Is(unicode.P, r)
}

// place takes a character at which a line may be broken.
func (w *wrapper) place(r rune, colour func(string) string) error {
	if err := w.flush(); err != nil {
		return err
	}
	switch r {
	case '\n':
		w.spaces, w.column = "", 0
		return write(w.out, "\n")
	case ' ', '\t':
		w.spaces += string(r)
		return nil
	}
	w.word.WriteString(colour(string(r)))
	w.length = 2
	return nil
}

// flush writes the word, in a new line if this one has no room for it.
func (w *wrapper) flush() error {
	if w.length == 0 && w.word.Len() == 0 {
		return nil
	}
	start := w.column
	for _, space := range w.spaces {
		if start++; space == '\t' {
			start = (start + lineedit.TabWidth - 1) / lineedit.TabWidth * lineedit.TabWidth
		}
	}
	before := w.spaces
	if width := w.width(); width > 0 && w.column > 0 && start+w.length > width {
		before, start = "\n", 0
	}
	text := before + w.word.String()
	w.column = start + w.length
	w.spaces, w.length = "", 0
	w.word.Reset()
	return write(w.out, text)
}

// end writes what is held back.
func (w *wrapper) end() error {
	err := w.flush()
	if err == nil && w.spaces != "" {
		err = write(w.out, w.spaces)
	}
	w.column, w.spaces = 0, ""
	return err
}

// wrappedNotes breaks texts that come whole.
type wrappedNotes struct{ wrapper }

// newNotes returns a writer of whole lines, which breaks them at words if it is a terminal.
func newNotes(w io.Writer) io.Writer {
	if !isTerminal(w) {
		return w
	}
	return &wrappedNotes{wrapper{out: w, width: terminalWidth(w)}}
}

func (n *wrappedNotes) Write(text []byte) (int, error) {
	err := n.write(string(text), func(text string) string { return text })
	if err == nil {
		err = n.end()
	}
	return len(text), err
}

// columns returns how many columns of a terminal a text takes.
func columns(text string) (n int) {
	for _, r := range text {
		n += runewidth.RuneWidth(r)
	}
	return n
}

// terminalWidth returns a function that tells the width of a terminal, 0 of anything else.
func terminalWidth(stream any) func() int {
	file, ok := stream.(*os.File)
	return func() int {
		if !ok {
			return 0
		}
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0
		}
		return width
	}
}
