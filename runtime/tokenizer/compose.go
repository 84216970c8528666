package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/tti-llm/tti/runtime/tokenizer/unicode16"
)

// compose returns the NFC of a text, of which characters that Unicode 9.0 does not know are no part: the tables that
// HuggingFace's tokenizers normalize by are that old, and Unicode promises that for older characters NFC never changes.
func compose(text string) string {
	if norm.NFC.IsNormalString(text) {
		return text // and so are its parts
	}
	var composed strings.Builder
	for text != "" {
		end, length := 0, 0
		for end < len(text) {
			r, n := utf8.DecodeRuneInString(text[end:])
			if unicode16.Of(r)&unicode16.Assigned9 == 0 {
				length = n
				break
			}
			end += n
		}
		composeKnown(&composed, text[:end])
		composed.WriteString(text[end : end+length])
		text = text[end+length:]
	}
	return composed.String()
}

// longSegment is from how many characters on a segment, which is what NFC makes something of at once, is composed here.
// Package norm, whose text is always stream-safe (Unicode Standard Annex 15, section 13), puts U+034F after 30 marks in a row.
// No character decomposes into more than four.
const longSegment = 30 / 4

// composeKnown adds the NFC of a text.
func composeKnown(composed *strings.Builder, text string) {
	segment, characters, done := 0, 0, 0 // where the segment at hand begins, its length, and up to where all is composed
	flush := func(end int) {
		if characters > longSegment {
			composed.WriteString(norm.NFC.String(text[done:segment]))
			composeSegment(composed, text[segment:end])
			done = end
		}
		segment, characters = end, 0
	}
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRuneInString(text[at:])
		invalid := r == utf8.RuneError && n == 1
		if invalid || norm.NFC.PropertiesString(text[at:]).BoundaryBefore() {
			flush(at)
		}
		characters++
		if at += n; invalid { // it is a segment of its own
			flush(at)
		}
	}
	flush(len(text))
	composed.WriteString(norm.NFC.String(text[done:]))
}

// composeSegment adds the NFC of valid UTF-8 as the Unicode Standard defines it in section 3.11.
func composeSegment(composed *strings.Builder, text string) {
	var decomposed []rune
	for _, r := range text {
		decomposed = append(decomposed, []rune(norm.NFD.String(string(r)))...)
	}
	for begin := 0; begin < len(decomposed); {
		end := begin + 1
		for end < len(decomposed) && class(decomposed[end]) != 0 {
			end++
		}
		marks := decomposed[begin:end]
		if class(marks[0]) == 0 {
			marks = marks[1:]
		}
		slices.SortStableFunc(marks, func(a, b rune) int { return int(class(a)) - int(class(b)) })
		begin = end
	}
	starter, kept := -1, decomposed[:0]
	for _, r := range decomposed {
		adjacent := starter == len(kept)-1
		if starter >= 0 && (adjacent || class(kept[len(kept)-1]) < class(r)) {
			if both := []rune(norm.NFC.String(string([]rune{kept[starter], r}))); len(both) == 1 {
				kept[starter] = both[0]
				continue
			}
		}
		if class(r) == 0 {
			starter = len(kept)
		}
		kept = append(kept, r)
	}
	composed.WriteString(string(kept))
}

// class returns the canonical combining class of a character: 0 for one that no mark may be moved over.
func class(r rune) uint8 { return norm.NFC.PropertiesString(string(r)).CCC() }
