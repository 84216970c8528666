package conformance

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// texts makes random texts for a tokenizer.
type texts struct {
	corpus string   // English
	added  []string // contents of added tokens
	tokens []string // tokens of the vocabulary
}

func newTexts(t testing.TB, directory string, s *subject) *texts {
	t.Helper()
	corpus, err := os.ReadFile(testdata + "golden/fable-eval.txt")
	if err != nil {
		t.Fatal(err)
	}
	made := &texts{corpus: string(corpus), added: []string{"<|endoftext|>"}}
	var file struct {
		Added []struct{ Content string } `json:"added_tokens"`
	}
	data, err := os.ReadFile(filepath.Join(directory, "tokenizer.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.Fatal(err)
	default:
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for _, token := range file.Added {
			made.added = append(made.added, token.Content)
		}
	}
	for id := range int32(s.Size()) {
		if token, err := s.Decode([]int32{id}); err == nil && token != "" {
			made.tokens = append(made.tokens, strings.ToValidUTF8(token, ""))
		}
	}
	return made
}

// text returns the text of a number, of which seed makes another series.
func (m *texts) text(seed, number uint64) string {
	r := rand.New(rand.NewPCG(seed, number))
	var out strings.Builder
	for pieces := 1 + length(r, 6); pieces > 0; pieces-- {
		out.WriteString(kinds[r.IntN(len(kinds))](m, r))
		if r.IntN(4) == 0 {
			out.WriteByte(' ')
		}
	}
	return out.String()
}

// length returns a number from 1, of the mean given; seldom one that is much larger.
func length(r *rand.Rand, mean int) int {
	if r.IntN(50) == 0 {
		mean *= 10
	}
	return 1 + min(int(r.ExpFloat64()*float64(mean)), 1000)
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// kinds of pieces of a text.
var kinds = []func(*texts, *rand.Rand) string{
	(*texts).english,
	(*texts).english,
	(*texts).token,
	(*texts).token,
	(*texts).addedToken,
	(*texts).partOfAddedToken,
	(*texts).script,
	(*texts).script,
	(*texts).anyCharacters,
	repeated,
	mixedOf(spaces),
	mixedOf(spaces),
	mixedOf([]string{" ", "\n"}),
	mixedOf(controls),
	mixedOf(digits),
	mixedOf(punctuation),
	mixedOf(composing),
	mixedOf(joined),
	mixedOf(contractions),
	mixedOf(words),
}

func (m *texts) english(r *rand.Rand) string {
	at := r.IntN(len(m.corpus) - 1)
	return strings.ToValidUTF8(m.corpus[at:min(len(m.corpus), at+length(r, 15))], "")
}

func (m *texts) token(r *rand.Rand) string {
	var out strings.Builder
	for n := length(r, 2); n > 0; n-- {
		out.WriteString(pick(r, m.tokens))
	}
	return out.String()
}

func (m *texts) addedToken(r *rand.Rand) string { return pick(r, m.added) }

func (m *texts) partOfAddedToken(r *rand.Rand) string {
	token := pick(r, m.added)
	from := r.IntN(len(token) + 1)
	return strings.ToValidUTF8(token[from:from+r.IntN(len(token)-from+1)], "")
}

// scripts are ranges of characters that occur together, in the order of their code points.
var scripts = [][2]rune{
	{0x20, 0x7E}, {0xA0, 0xFF}, {0x100, 0x24F}, {0x250, 0x2FF}, {0x300, 0x36F}, {0x370, 0x3FF}, {0x400, 0x52F}, {0x530, 0x58F},
	{0x590, 0x5FF}, {0x600, 0x6FF}, {0x700, 0x8FF}, {0x900, 0x97F}, {0x980, 0xD7F}, {0xE00, 0xEFF}, {0xF00, 0xFFF}, {0x1000, 0x109F},
	{0x10A0, 0x10FF}, {0x1100, 0x11FF}, {0x1200, 0x13FF}, {0x1780, 0x18AF}, {0x1C80, 0x1CBF}, {0x1E00, 0x1EFF}, {0x1F00, 0x1FFF},
	{0x2000, 0x206F}, {0x2070, 0x218F}, {0x2190, 0x2BFF}, {0x2C00, 0x2DFF}, {0x2E80, 0x2FFF}, {0x3000, 0x30FF}, {0x3130, 0x33FF},
	{0x3400, 0x9FFF}, {0x4E00, 0x5FFF}, {0xA000, 0xABFF}, {0xAC00, 0xD7A3}, {0xE000, 0xF8FF}, {0xF900, 0xFAFF}, {0xFB00, 0xFDFF},
	{0xFE00, 0xFE6F}, {0xFF00, 0xFFFF}, {0x10000, 0x10FFF}, {0x11000, 0x11FFF}, {0x12000, 0x1AFFF}, {0x1B000, 0x1BFFF},
	{0x1CC00, 0x1CEBF}, {0x1D000, 0x1D7FF}, {0x1E000, 0x1EFFF}, {0x1F000, 0x1FBFF}, {0x20000, 0x323AF}, {0xE0000, 0xE01EF},
}

func (m *texts) script(r *rand.Rand) string { return characters(r, pick(r, scripts)) }

func (m *texts) anyCharacters(r *rand.Rand) string { return characters(r, [2]rune{0, utf8.MaxRune}) }

func characters(r *rand.Rand, script [2]rune) string {
	var out strings.Builder
	for n := length(r, 5); n > 0; n-- {
		if c := script[0] + r.Int32N(script[1]-script[0]+1); utf8.ValidRune(c) {
			out.WriteRune(c)
		}
	}
	return out.String()
}

// repeated is a run of one character or of a few.
func repeated(m *texts, r *rand.Rand) string {
	unit := pick(r, []string{" ", "\n", "\t", "a", "=", "-", "é", "  \n", "ab", "0", "你", "\u0301", "🙂", pick(r, m.tokens)})
	return strings.Repeat(unit, length(r, 12))
}

// mixedOf is a kind of piece that is made from a list at random.
func mixedOf(list []string) func(*texts, *rand.Rand) string {
	return func(_ *texts, r *rand.Rand) string {
		var out strings.Builder
		for n := length(r, 3); n > 0; n-- {
			out.WriteString(pick(r, list))
		}
		return out.String()
	}
}

var (
	spaces = []string{
		" ", " ", "  ", "    ", "\n", "\n\n", "\r\n", "\r", "\t", "\v", "\f", "\u0085", "\u00A0", "\u1680", "\u2003", "\u200A", "\u2028",
		"\u2029", "\u202F", "\u205F", "\u3000", "▁", "\u200B", "\u180E", "\uFEFF",
	}
	controls     = []string{"\x00", "\x01", "\x1B", "\x1C", "\x1F", "\x7F", "\u0080", "\u009F", "\u00AD", "\uFFFD", "\uFFFE", "\uFDD0", "\U0010FFFF"}
	digits       = []string{"0", "1", "12", "123", "1234", "٣", "३", "Ⅷ", "½", "²", "①", "〇", "𝟗", "\U00016D70", "\U0001CCF0", ".", ",", "_"}
	punctuation  = []string{"!", "?!", "...", "—", "\"", "(", ")", "/", "\\", "$", "€", "+", "`", "^", "«", "、", "。", "…", "#", "@", "\u2043", "/\n", ".\r\n"}
	composing    = []string{"e\u0301", "A\u030A", "\u212B", "\u1112\u1161\u11AB", "\uD55C", "\u0344", "\u0958", "q\u0307\u0323", "q\u0323\u0307", "\u0301", "\u2126", "\uFB1D", "\U0001D15E", "\u0DDD", "\U000105D2\u0307", "\u1E9B\u0323"}
	joined       = []string{"👩\u200D👩\u200D👧", "🏳\uFE0F\u200D🌈", "🇩🇪", "👍🏽", "क्\u200Dष", "ل\u200Cا", "\u200D", "\u200C", "\uFE0F", "\u20E3"}
	contractions = []string{"'s", "'S", "'ſ", "'t", "'T", "'re", "'RE", "'Ve", "'m", "'ll", "'lL", "'d", "'", "''", "’s", "x", "'K", "\u212A"}
	words        = []string{"Hello", "WORLD", "camelCase", "XMLHttp", "ǅem", "ʰa", "ªb", "über", "naïve", "Straße", "İstanbul", "cat", "Hund", "new york", "日本語", "안녕", "привет", "שלום", "ⅷ", "ⓐ", "e\u0301A"}
)
