package tokenizer_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// pattern is GPT-2's without the look-ahead, which Go's regexp does not have: twinWords makes up
// for it. \p{Z} and six control characters are Unicode's White_Space.
var pattern = func() *regexp.Regexp {
	const space = `\t\n\v\f\r\x{85}\p{Z}`
	return regexp.MustCompile(`^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^` + space + `\p{L}\p{N}]+|([` + space + `]+))`)
}()

func twinWords(text string) (words []string) {
	for text != "" {
		match := pattern.FindStringSubmatch(text)
		word := match[0]
		if spaces := match[1]; spaces != "" && len(spaces) < len(text) && utf8.RuneCountInString(spaces) > 1 {
			_, last := utf8.DecodeLastRuneInString(spaces)
			word = spaces[:len(spaces)-last]
		}
		words = append(words, word)
		text = text[len(word):]
	}
	return words
}

// twin encodes as slowly and plainly as it can be written down.
type twin struct {
	bytes  [256]int32
	merges map[[2]int32][2]int32 // rank and result
}

func newTwin(d vocabulary.Definition) *twin {
	w := &twin{merges: make(map[[2]int32][2]int32)}
	for id, token := range slices.Backward(d.Tokens) {
		if len(token) == 1 {
			w.bytes[token[0]] = int32(id)
		}
	}
	for rank, m := range d.Merges {
		w.merges[[2]int32{m.Left, m.Right}] = [2]int32{int32(rank), m.Result}
	}
	return w
}

func (w *twin) encode(text string) (ids []int32) {
	for _, word := range twinWords(text) {
		ids = append(ids, w.merge(word)...)
	}
	return ids
}

func (w *twin) merge(word string) (ids []int32) {
	for _, b := range []byte(word) {
		ids = append(ids, w.bytes[b])
	}
	return mergeSlowly(ids, w.merges)
}

// mergeSlowly makes the merge of the lowest rank, the leftmost of these, until none applies. merges has ranks and results.
func mergeSlowly(ids []int32, merges map[[2]int32][2]int32) []int32 {
	for {
		lowest, at, result := int32(-1), 0, int32(0)
		for i := 1; i < len(ids); i++ {
			if m, ok := merges[[2]int32{ids[i-1], ids[i]}]; ok && (lowest < 0 || m[0] < lowest) {
				lowest, at, result = m[0], i, m[1]
			}
		}
		if lowest < 0 {
			return ids
		}
		ids = slices.Delete(ids, at, at+1)
		ids[at-1] = result
	}
}

// generate makes text out of pieces that the pattern treats differently, some texts of a few pieces
// only, so that words get long.
func generate(random *rand.Rand, length int) string {
	pieces := []string{
		"a", "e", "t", "he", "in", "the", "S", "é", "ß", "中", "ǅ", "ª", "\u0301", "हि",
		"1", "9", "²", "Ⅷ", "٣", " ", " ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\x1c", "\u200b",
		"'", "'s", "'ll", "'re", "'S", "’", ".", "!", "--", "_", "€", "🙂", "👩‍👧", "\ufffd", "\x00",
		"\xff", "\x80", "\xe4\xb8", "\xf0\x9f\x99", "\xc0\xaf", "\xed\xa0\x80", "<|endoftext|>",
	}
	count := 1 + random.IntN(len(pieces))
	random.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	if random.IntN(3) == 0 {
		count = 1 + random.IntN(3)
	}
	var text strings.Builder
	for text.Len() < length {
		text.WriteString(pieces[random.IntN(count)])
	}
	return text.String()
}

func checkTwin(t *testing.T, tok *tokenizer.Tokenizer, w *twin, text string) {
	t.Helper()
	got, err := tok.Encode(text)
	if want := w.encode(text); err != nil || !slices.Equal(got, want) {
		t.Fatalf("encode %q: %v, %v, want %v", text, got, err, want)
	}
	if back, err := tok.Decode(got); err != nil || back != text {
		t.Fatalf("%q comes back as %q, %v", text, back, err)
	}
}

func TestEncodeEqualsTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	for _, directory := range []string{fable, gpt2} {
		d := define(t, directory)
		tok, w := build(t, d), newTwin(d)
		for range 600 {
			checkTwin(t, tok, w, generate(random, random.IntN(600)))
		}
		for range 200 {
			text := make([]byte, random.IntN(300))
			for i := range text {
				text[i] = byte(random.Uint32())
			}
			checkTwin(t, tok, w, string(text))
		}
	}
}

// randomDefinition has merges in an order no training would give, so that a merge can make one of
// lower rank possible.
func randomDefinition(random *rand.Rand) vocabulary.Definition {
	d := vocabulary.Definition{Settings: vocabulary.Classic(vocabulary.None)}
	ids := make(map[string]int32)
	for b := range 256 {
		token := string([]byte{byte(b)})
		ids[token] = int32(b)
		d.Tokens = append(d.Tokens, token)
	}
	letters := []int32{'a', 'b', 'c'}[:1+random.IntN(3)]
	known := slices.Clone(letters)
	paired := make(map[[2]int32]bool)
	for range random.IntN(60) {
		left, right := known[random.IntN(len(known))], known[random.IntN(len(known))]
		whole := d.Tokens[left] + d.Tokens[right]
		if paired[[2]int32{left, right}] || len(whole) > 40 {
			continue
		}
		paired[[2]int32{left, right}] = true
		id, ok := ids[whole]
		if !ok {
			id = int32(len(d.Tokens))
			ids[whole] = id
			d.Tokens = append(d.Tokens, whole)
			known = append(known, id)
		}
		d.Merges = append(d.Merges, vocabulary.Merge{Left: left, Right: right, Result: id})
	}
	random.Shuffle(len(d.Merges), func(i, j int) { d.Merges[i], d.Merges[j] = d.Merges[j], d.Merges[i] })
	return d
}

func TestAnyTableEqualsTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	for range 400 {
		d := randomDefinition(random)
		tok, w := build(t, d), newTwin(d)
		for range 6 {
			word := make([]byte, 1+random.IntN(400))
			for i := range word {
				word[i] = 'a' + byte(random.IntN(3))
			}
			checkTwin(t, tok, w, string(word))
		}
		checkTwin(t, tok, w, strings.Repeat("a", random.IntN(400)))
	}
}
