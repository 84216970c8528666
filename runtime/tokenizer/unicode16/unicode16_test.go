package unicode16

import (
	"encoding/json"
	"math/bits"
	"os"
	"testing"
	"unicode"
)

const references = "../../../testdata/tokenizers/"

func read(t *testing.T, name string, value any) {
	t.Helper()
	text, err := os.ReadFile(references + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, value); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// equal compares a mask with ranges of code points: all have a bit of it, and no other has.
func equal(t *testing.T, name string, mask Mask, ranges [][2]rune) {
	t.Helper()
	if len(ranges) == 0 {
		t.Errorf("%s: no ranges", name)
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		for len(ranges) > 0 && r > ranges[0][1] {
			ranges = ranges[1:]
		}
		want := len(ranges) > 0 && r >= ranges[0][0]
		if got := Of(r)&mask != 0; got != want {
			t.Errorf("%U: %s %v, want %v", r, name, got, want)
		}
	}
}

// The references are what HuggingFace's tokenizers say of every code point: testdata/tokenizers/README.md.
func TestClasses(t *testing.T) {
	var classes map[string][][2]rune
	read(t, "classes.json", &classes)
	for name, mask := range map[string]Mask{
		"L": L, "Lu": Lu, "Ll": Ll, "Lt": Lt, "Lm": Lm, "Lo": Lo, "M": M, "N": N, "Nd": Nd, "P": P, "S": S,
		"space": Space, "numeric": Numeric,
	} {
		equal(t, name, mask, classes[name])
	}
}

func TestWord(t *testing.T) {
	var word [][2]rune
	read(t, "word.json", &word)
	equal(t, "word", Word, word)
}

// moved are the characters whose category is another since the Unicode version of Go's tables.
var moved = map[rune]bool{0x1171E: true /* Mn in Unicode 15.0 */}

// Go's tables are of another version, but what both know is of the same category, with few exceptions.
func TestCategories(t *testing.T) {
	category := map[string]Mask{
		"Lu": Lu, "Ll": Ll, "Lt": Lt, "Lm": Lm, "Lo": Lo, "Mn": Mn, "Mc": Mc, "Me": Me, "Nd": Nd, "Nl": Nl, "No": No,
		"Pc": Pc, "Pd": Pd, "Ps": Ps, "Pe": Pe, "Pi": Pi, "Pf": Pf, "Po": Po, "Sm": Sm, "Sc": Sc, "Sk": Sk, "So": So,
		"Zs": Zs, "Zl": Zl, "Zp": Zp, "Cc": Cc, "Cf": Cf, "Co": Co,
	}
	all := L | M | N | P | S | Z | Cc | Cf | Co
	compared := 0
	for name, mask := range category {
		for r := rune(0); r <= unicode.MaxRune; r++ {
			if bits.OnesCount32(uint32(Of(r)&all)) > 1 {
				t.Fatalf("%U: several categories", r)
			}
			if !unicode.Is(unicode.Categories[name], r) || Of(r) == 0 {
				continue
			}
			compared++
			if Of(r)&mask == 0 && !moved[r] {
				t.Errorf("%U: not %s, which it is for Go", r, name)
			}
		}
	}
	if compared < 280000 {
		t.Errorf("only %d characters compared", compared)
	}
}

func TestOfWhatIsNoCharacter(t *testing.T) {
	for _, r := range []rune{-1, -1 << 31, unicode.MaxRune + 1, 1<<31 - 1, 0xD800, 0xDFFF, 0xFFFF, 0x0378} {
		if got := Of(r); got != 0 {
			t.Errorf("Of(%#x) = %#x, want none", r, got)
		}
	}
}

// Unicode says when a character came: an example for each version around Unicode 9.
func TestAssigned9(t *testing.T) {
	for r, want := range map[rune]bool{
		'a': true, 0x1F600: true, 0x1E900: true /* 9.0 */, 0x1F57A: true, /* 9.0 */
		0x20BF: false /* 10.0 */, 0x11D60: false /* 11.0 */, 0x32FF: false /* 12.1 */, 0x1FAE9: false /* 16.0 */, 0x0378: false,
	} {
		if got := Of(r)&Assigned9 != 0; got != want {
			t.Errorf("%U: assigned in 9.0 %v, want %v", r, got, want)
		}
	}
}

var sink Mask

func BenchmarkOf(b *testing.B) {
	for name, text := range map[string]string{
		"ascii": "The quick brown fox jumps over the lazy dog.",
		"mixed": "Zwölf große Boxkämpfer jagen Виктора quer über den Sylter Deich 你好世界 안녕 🙂",
	} {
		b.Run(name, func(b *testing.B) {
			runes := []rune(text)
			var any Mask
			for b.Loop() {
				for _, r := range runes {
					any |= Of(r)
				}
			}
			sink = any
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(runes)), "ns/character")
		})
	}
}
