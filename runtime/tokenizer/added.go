package tokenizer

import (
	"sort"

	"github.com/tti-llm/tti/format/vocabulary"
)

// finder finds added tokens in text.
type finder struct {
	vocabulary *vocabulary.View
	control    bool // control tokens too
	any        bool
	first      [256]bool // bytes that such a token begins with
}

func newFinder(view *vocabulary.View, control bool) finder {
	f := finder{vocabulary: view, control: control}
	for i := range view.Added() {
		added := view.AddedToken(i)
		if token := view.Token(added.ID); f.wants(added) && len(token) > 0 { // it is not empty, unless it has changed
			f.any = true
			f.first[token[0]] = true
		}
	}
	return f
}

func (f *finder) wants(added vocabulary.Added) bool { return f.control || !added.Control }

// next returns the first added token in text and where it lies. Without one, start and end are
// both len(text).
func (f *finder) next(text string) (start, end int, id int32) {
	if f.any {
		for at := range len(text) {
			if !f.first[text[at]] {
				continue
			}
			if length, id := f.longest(text[at:]); length > 0 {
				return at, at + length, id
			}
		}
	}
	return len(text), len(text), 0
}

// longest returns the longest added token that text begins with, of length 0 if there is none. It
// narrows the sorted list down byte by byte: of the tokens that begin as text does, the one that
// ends there sorts first.
func (f *finder) longest(text string) (length int, id int32) {
	v := f.vocabulary
	low, high := 0, v.Added()
	for depth := 0; depth < len(text) && low < high; depth++ {
		// All of low..high begin with text[:depth]; those that end there are done with.
		byteAt := func(i int) int {
			token := v.Token(v.AddedToken(i).ID)
			if depth < len(token) {
				return int(token[depth])
			}
			return -1
		}
		from, want := low, int(text[depth])
		low = from + sort.Search(high-from, func(i int) bool { return byteAt(from+i) >= want })
		high = low + sort.Search(high-low, func(i int) bool { return byteAt(low+i) > want })
		if low < high {
			if added := v.AddedToken(low); v.Length(added.ID) == depth+1 && f.wants(added) {
				length, id = depth+1, added.ID
			}
		}
	}
	return length, id
}
