package tokenizer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/vocabulary"
)

// characterTwin encodes where the units are characters, as slowly and plainly as FORMAT.md says it: no index, no cut, no queue.
type characterTwin struct {
	d      vocabulary.Definition
	ids    map[string]int32 // of words
	merges map[[2]int32][2]int32
}

func newCharacterTwin(d vocabulary.Definition) *characterTwin {
	w := &characterTwin{d: d, ids: make(map[string]int32), merges: newTwin(d).merges}
	for id, token := range slices.Backward(d.Tokens) {
		if !slices.ContainsFunc(d.Added, func(a vocabulary.Added) bool { return a.ID == int32(id) && !a.Word }) {
			w.ids[token] = int32(id)
		}
	}
	return w
}

func (w *characterTwin) encode(text string) []int32 {
	return w.split(text, false, func(text string) []int32 {
		return w.split(normalize(w.d.Normalizer, text), true, w.word)
	})
}

// normalize knows the normalizers that work on any bytes.
func normalize(steps []vocabulary.Step, text string) string {
	for _, step := range steps {
		switch step.Type {
		case vocabulary.Prepend:
			if len(text) > 0 {
				text = step.Text + text
			}
		case vocabulary.Replace:
			replaced := ""
			for text != "" {
				if strings.HasPrefix(text, step.Text) {
					replaced += step.With
					text = text[len(step.Text):]
				} else {
					replaced += text[:1]
					text = text[1:]
				}
			}
			text = replaced
		}
	}
	return text
}

// split looks for added tokens at every place, longest first, and gives the rest to then.
func (w *characterTwin) split(text string, normalized bool, then func(string) []int32) (ids []int32) {
	for at := range len(text) {
		longest := vocabulary.Added{ID: vocabulary.None}
		for _, a := range w.d.Added {
			if a.Normalized == normalized && !a.Control && strings.HasPrefix(text[at:], a.Pattern) && len(a.Pattern) > len(longest.Pattern) {
				longest = a
			}
		}
		if longest.ID != vocabulary.None {
			if at > 0 {
				ids = then(text[:at])
			}
			return slices.Concat(ids, []int32{longest.ID}, w.split(text[at+len(longest.Pattern):], normalized, then))
		}
	}
	if text == "" {
		return nil
	}
	return then(text)
}

func (w *characterTwin) word(text string) []int32 {
	if id, ok := w.ids[text]; ok && w.d.IgnoreMerges {
		return []int32{id}
	}
	var ids []int32
	var pending int
	settle := func() {
		for ; pending > 0; pending-- {
			ids = append(ids, *w.d.Unknown)
		}
	}
	for text != "" {
		_, n := utf8.DecodeRuneInString(text)
		character := text[:n]
		text = text[n:]
		if id, ok := w.ids[character]; ok {
			settle()
			ids = append(ids, id)
			continue
		}
		if bytes := w.spell(character); w.d.ByteFallback && bytes != nil {
			ids = append(ids, bytes...)
			continue
		}
		if w.d.Unknown == nil {
			continue
		}
		if !w.d.FuseUnknown {
			settle()
		}
		pending = 1
	}
	settle()
	return mergeSlowly(ids, w.merges)
}

// spell returns the tokens of a character's bytes, nil if one of them has none.
func (w *characterTwin) spell(character string) (ids []int32) {
	for _, b := range []byte(character) {
		id, ok := w.ids[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

// randomCharacters has merges in any order, over the places of spaces too, and any of the settings of unknown characters.
func randomCharacters(random *rand.Rand) vocabulary.Definition {
	d := vocabulary.Definition{Settings: vocabulary.Settings{Unit: vocabulary.Characters, Decoder: []vocabulary.Step{{Type: vocabulary.Fuse}}}}
	ids := make(map[string]int32)
	add := func(token string) int32 {
		id, ok := ids[token]
		if !ok {
			id = int32(len(d.Tokens))
			ids[token] = id
			d.Tokens = append(d.Tokens, token)
		}
		return id
	}
	add("<unk>")
	for _, token := range []string{"a", "b", "▁", "é", " ", "<", "x"} {
		if random.IntN(6) > 0 {
			add(token)
		}
	}
	if d.ByteFallback = random.IntN(2) == 0; d.ByteFallback {
		for _, b := range []byte("\xe2\x96\x81\xc3\xa9\xff\xf0z ") {
			if random.IntN(5) > 0 {
				add(fmt.Sprintf("<0x%02X>", b))
			}
		}
	}
	if d.FuseUnknown = random.IntN(2) == 0; random.IntN(3) > 0 {
		unknown := int32(0)
		d.Unknown = &unknown
	}
	paired := make(map[[2]int32]bool)
	for range random.IntN(40) {
		left, right := int32(random.IntN(len(d.Tokens))), int32(random.IntN(len(d.Tokens)))
		if whole := d.Tokens[left] + d.Tokens[right]; !paired[[2]int32{left, right}] && len(whole) <= 30 {
			paired[[2]int32{left, right}] = true
			d.Merges = append(d.Merges, vocabulary.Merge{Left: left, Right: right, Result: add(whole)})
		}
	}
	random.Shuffle(len(d.Merges), func(i, j int) { d.Merges[i], d.Merges[j] = d.Merges[j], d.Merges[i] })
	d.IgnoreMerges = random.IntN(4) == 0
	for _, step := range []vocabulary.Step{
		{Type: vocabulary.Prepend, Text: "▁"},
		{Type: vocabulary.Replace, Text: " ", With: "▁"},
		{Type: vocabulary.Replace, Text: "xx", With: "b"},
		{Type: vocabulary.Prepend, Text: "x"},
	} {
		if random.IntN(2) == 0 {
			d.Normalizer = append(d.Normalizer, step)
		}
	}
	for _, content := range []string{"<a", "<a>", "b b", "é", "▁▁"} {
		a := vocabulary.Added{Content: content, Pattern: content, Normalized: random.IntN(2) == 0, Control: random.IntN(4) == 0}
		if random.IntN(3) > 0 {
			continue
		}
		if _, taken := ids[content]; taken {
			a.Word = true
		}
		a.ID = add(content)
		if a.Normalized {
			a.Pattern = normalize(d.Normalizer, content)
		}
		d.Added = append(d.Added, a)
	}
	return d
}

// characterText is made of what randomCharacters has tokens for, and of what it has none for.
func characterText(random *rand.Rand) string {
	pieces := []string{"a", "b", " ", "▁", "é", "x", "xx", "<", "<a", "<a>", "b b", "z", "中", "🙂", "\xff", "\xe2\x96", "<unk>", "<0xC3>"}
	var text strings.Builder
	for range random.IntN(40) {
		text.WriteString(strings.Repeat(pieces[random.IntN(len(pieces))], 1+random.IntN(3)))
	}
	return text.String()
}

func TestCharactersEqualTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(43, 47))
	cuts := 0
	for range 500 {
		d := randomCharacters(random)
		tok, w := build(t, d), newCharacterTwin(d)
		if tok.Settings().Cut != nil {
			cuts++
		}
		for range 20 {
			text := characterText(random)
			got, err := tok.Encode(text)
			if want := w.encode(text); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q: %v, %v, want %v\n%q\n%+v", text, got, err, want, d.Tokens, d)
			}
		}
	}
	if cuts < 100 {
		t.Errorf("only %d of 500 cut words", cuts)
	}
}

// FuzzCharacters: the number is of a tokenizer whose units are characters.
func FuzzCharacters(f *testing.F) {
	for i, text := range []string{"", "a b", "▁é z\xff", "<a>  xx<a"} {
		f.Add(uint64(i), text)
	}
	f.Fuzz(func(t *testing.T, number uint64, text string) {
		if len(text) > 300 {
			return
		}
		d := randomCharacters(rand.New(rand.NewPCG(number, 53)))
		got, err := build(t, d).Encode(text)
		if want := newCharacterTwin(d).encode(text); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q: %v, %v, want %v\n%+v", text, got, err, want, d)
		}
	})
}
