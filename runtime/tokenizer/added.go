package tokenizer

import (
	"sort"
	"strings"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer/unicode16"
)

// finder finds added tokens in text: the leftmost and, of those at the same place, the longest.
type finder struct {
	added  []vocabulary.Added // by pattern
	parent []int32            // the longest other pattern that a pattern begins with, or the one before that is the same; -1 for none
	first  [256]bool          // bytes that a pattern begins with
}

func newFinder(added []vocabulary.Added) finder {
	f := finder{added: foundable(added)}
	f.parent = make([]int32, len(f.added))
	for i, a := range f.added {
		f.first[a.Pattern[0]] = true
		// What a pattern begins with comes before it, and is one of those that the one just before begins with, or that one.
		f.parent[i] = int32(i) - 1
		for f.parent[i] >= 0 && !strings.HasPrefix(a.Pattern, f.added[f.parent[i]].Pattern) {
			f.parent[i] = f.parent[f.parent[i]]
		}
	}
	return f
}

// foundable leaves out tokens that are never found: of several with the same pattern, all but the first control token and
// the first other one.
func foundable(added []vocabulary.Added) (kept []vocabulary.Added) {
	var seen [2]bool // of the pattern at hand: other tokens, control tokens
	for i, a := range added {
		if i > 0 && a.Pattern != added[i-1].Pattern {
			seen = [2]bool{}
		}
		kind := 0
		if a.Control {
			kind = 1
		}
		if !seen[kind] {
			seen[kind] = true
			kept = append(kept, a)
		}
	}
	return kept
}

// match is an added token found in a text.
type match struct {
	start, end int
	added      *vocabulary.Added
}

// next returns the first added token from at on. allowed says whether one may be found in the place. Without one, added
// is nil.
func (f *finder) next(text string, at int, allowed func(m match) bool) match {
	if len(f.added) > 0 {
		for ; at < len(text); at++ {
			if !f.first[text[at]] {
				continue
			}
			if m := f.longest(text, at, allowed); m.added != nil {
				return m
			}
		}
	}
	return match{}
}

// longest returns the longest added token that the text has at this place.
func (f *finder) longest(text string, at int, allowed func(m match) bool) (found match) {
	here := text[at:min(len(text), at+vocabulary.MaxAddedLength)]
	// All that here begins with are the last pattern that does not come after it, or what that begins with.
	i := int32(sort.Search(len(f.added), func(i int) bool { return f.added[i].Pattern > here })) - 1
	if i < 0 {
		return found
	}
	common := commonPrefix(here, f.added[i].Pattern)
	for ; i >= 0; i = f.parent[i] {
		a := &f.added[i]
		if found.added != nil && len(a.Pattern) < found.end-at {
			break
		}
		if m := (match{at, at + len(a.Pattern), a}); len(a.Pattern) <= common && allowed(m) {
			found = m // of several that are the same the first is meant, which comes last here
		}
	}
	return found
}

// commonPrefix returns how many bytes two texts have in common at their start.
func commonPrefix(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// split cuts a text at added tokens and calls yield for these and, with nil, for what lies between, until it returns
// false. It returns whether it never did.
func (f *finder) split(text string, allowed func(m match) bool, yield func(start, end int, added *vocabulary.Added) bool) bool {
	done, blank := 0, 0 // up to where all is yielded, and where white space ends that a token has swallowed
	for at := 0; ; {
		m := f.next(text, at, allowed)
		if m.added == nil {
			break
		}
		at = m.end
		if m.added.SingleWord && (endsWithWord(text[:m.start]) || beginsWithWord(text[m.end:])) {
			continue // nor is anything else found in it
		}
		if m.added.LeftStrip { // but not what the token before has taken
			m.start = max(m.start, done)
			m.start = done + len(strings.TrimRightFunc(text[done:m.start], isSpace))
		}
		if m.added.RightStrip {
			if blank <= m.end {
				blank = len(text) - len(strings.TrimLeftFunc(text[m.end:], isSpace))
			}
			m.end = blank
		}
		if done < m.start && !yield(done, m.start, nil) || !yield(m.start, m.end, m.added) {
			return false
		}
		done = m.end
	}
	return done >= len(text) || yield(done, len(text), nil)
}

func isSpace(r rune) bool { return unicode16.Of(r)&unicode16.Space != 0 }

func beginsWithWord(text string) bool {
	mask, _ := maskAt(text)
	return mask&unicode16.Word != 0
}

func endsWithWord(text string) bool {
	for start := len(text) - 1; start >= 0 && start >= len(text)-4; start-- {
		if c := text[start]; c < 0x80 || c >= 0xC0 { // where a character begins
			return beginsWithWord(text[start:])
		}
	}
	return false
}
