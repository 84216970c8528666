package tokenizer

import (
	"sort"
	"strings"
)

// withoutReserved returns a text without a character, and where in what is left it stood, in ascending order.
func withoutReserved(text, reserved string) (clean string, broken []int) {
	var kept strings.Builder
	for {
		before, after, found := strings.Cut(text, reserved)
		kept.WriteString(before)
		if !found {
			return kept.String(), broken
		}
		broken = append(broken, kept.Len())
		text = after
	}
}

// withReserved puts the character back into a part of the text.
func withReserved(clean string, start, end int, broken []int, reserved string) string {
	var text strings.Builder
	at := start
	for _, place := range broken[sort.SearchInts(broken, start):] {
		if place > end {
			break
		}
		text.WriteString(clean[at:place])
		text.WriteString(reserved)
		at = place
	}
	text.WriteString(clean[at:end])
	return text.String()
}

// inside reports whether one of the places lies between two characters of a part.
func inside(places []int, start, end int) bool {
	i := sort.SearchInts(places, start+1)
	return i < len(places) && places[i] < end
}
