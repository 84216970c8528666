package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is what the pre-tokenizer's pattern tells characters apart by.
type class uint8

const (
	other  class = iota // neither of those below; also a byte that is no valid UTF-8
	letter              // \p{L}
	number              // \p{N}
	space               // \s: Unicode's White_Space
)

var asciiClass = func() (classes [utf8.RuneSelf]class) {
	for c := range classes {
		classes[c] = runeClass(rune(c))
	}
	return classes
}()

func runeClass(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// classAt returns the class and the length of text's first character. An invalid byte decodes as
// U+FFFD of length 1, and that is a symbol, as it should be.
func classAt(text string) (class, int) {
	if text[0] < utf8.RuneSelf {
		return asciiClass[text[0]], 1
	}
	r, n := utf8.DecodeRuneInString(text)
	return runeClass(r), n
}

// wordLength returns the length of the first word of a text that is not empty: the first match of
// GPT-2's pattern
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Words follow each other without gaps, and a merge never crosses from one into the next.
func wordLength(text string) int {
	if n := contractionLength(text); n > 0 {
		return n
	}
	first, n := classAt(text)
	if text[0] == ' ' && len(text) > 1 {
		if next, _ := classAt(text[1:]); next != space {
			return 1 + runLength(text[1:], next)
		}
	}
	if first != space {
		return runLength(text, first)
	}
	// Of several spaces before a word the last one is left to it.
	end, last := n, 0
	for end < len(text) {
		c, n := classAt(text[end:])
		if c != space {
			if last > 0 {
				return last
			}
			break
		}
		last = end
		end += n
	}
	return end
}

// runLength returns the length of the characters of class want that text begins with.
func runLength(text string, want class) int {
	end := 0
	for end < len(text) {
		c, n := classAt(text[end:])
		if c != want {
			break
		}
		end += n
	}
	return end
}

// contractionLength returns the length of the English contraction that text begins with, or 0.
func contractionLength(text string) int {
	if text[0] != '\'' || len(text) < 2 {
		return 0
	}
	switch text[1] {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(text) > 2 {
		switch text[1:3] {
		case "re", "ve", "ll":
			return 3
		}
	}
	return 0
}
