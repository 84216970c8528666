package vocabulary

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/tti-llm/tti/format"
)

// cutFinder finds the places where words of characters fall apart: before the character that stands for a space. It is
// shown all merges.
type cutFinder struct {
	before  []byte
	after   []byte // what such a character may be merged to
	unknown int32
	failed  bool
}

// newCutFinder returns nil where there is no such character, or where characters may be lost: then others may be neighbours
// that are none in the text. bytes says that every byte has a token.
func newCutFinder(s *Settings, bytes bool) *cutFinder {
	if s.Unit != Characters || s.Unknown == nil && !bytes {
		return nil
	}
	f := &cutFinder{unknown: None}
	for _, step := range s.Normalizer {
		if step.Type == Replace && utf8.RuneCountInString(step.With) == 1 {
			f.before = []byte(step.With)
		}
	}
	for _, step := range s.PreTokenizer {
		if step.Type == Metaspace {
			f.before = []byte(step.Text)
		}
	}
	if s.Unknown != nil {
		f.unknown = *s.Unknown
	}
	if len(f.before) == 0 {
		return nil
	}
	return f
}

// see takes the halves of a merge, and the id of the left one.
func (f *cutFinder) see(left, right []byte, id int32) {
	if f.failed || !bytes.HasPrefix(right, f.before) || bytes.HasSuffix(left, f.before) {
		return
	}
	_, n := utf8.DecodeLastRune(left)
	if last := left[len(left)-n:]; !bytes.Contains(f.after, last) {
		f.after = append(f.after, last...)
	}
	_, spelled := SpelledByte(string(left)) // it stands for a character that its text does not end with
	f.failed = spelled || id == f.unknown || len(f.after) > MaxStepText
}

// cut returns what has been found, nil for nothing. present says that there is a token for the character.
func (f *cutFinder) cut(present bool) *Cut {
	if f.failed || !present {
		return nil
	}
	return &Cut{Before: string(f.before), After: string(f.after)}
}

// findCut finds the cut of a definition, of which the tokens of bytes are given.
func (d *Definition) findCut(bytes []int32) *Cut {
	f := newCutFinder(&d.Settings, !slices.Contains(bytes, None))
	if f == nil {
		return nil
	}
	for _, m := range d.Merges {
		f.see([]byte(d.Tokens[m.Left]), []byte(d.Tokens[m.Right]), m.Left)
	}
	outside, present := outsideWords(d.Added, len(d.Tokens)), false
	for id, token := range d.Tokens {
		present = present || token == string(f.before) && !outside.has(int32(id))
	}
	return f.cut(present)
}

// checkCut makes sure that no merge reaches over the places where words are cut. The merges have been checked.
func (v *View) checkCut() error {
	want := v.Settings.Cut
	if want == nil {
		return nil
	}
	all := true
	for b := range byteTokens {
		_, ok := v.Byte(byte(b))
		all = all && ok
	}
	f := newCutFinder(&v.Settings, all)
	if f != nil {
		begins := newSet(v.tokens)
		for id := range v.tokens {
			if bytes.HasPrefix(v.Token(id), f.before) {
				begins.add(id)
			}
		}
		slot := int32(0)
		for left := range v.tokens {
			for end := v.number(v.mergeEnds, int(left)); slot < end; slot++ {
				if right := v.token(v.rights, int(slot)); begins.has(right) {
					f.see(v.Token(left), v.Token(right), left)
				}
			}
		}
		_, present := v.Find(f.before)
		// The order of what the character may be merged to is that of the ranks, which these tables do not follow.
		if got := f.cut(present); got != nil && got.Before == want.Before && sameCharacters(got.After, want.After) {
			return nil
		}
	}
	return fmt.Errorf("%w: settings: merges reach over the places of cut", format.ErrCorrupt)
}

// sameCharacters reports whether two texts have the same characters in any order.
func sameCharacters(a, b string) bool {
	x, y := []rune(a), []rune(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}
