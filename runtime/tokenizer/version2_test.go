package tokenizer_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// documented is the example of version 2 in FORMAT.md.
func documented() vocabulary.Definition {
	unknown := int32(0)
	return vocabulary.Definition{
		Tokens: []string{"<unk>", "▁", "a", "▁a", "<0xC3>", "<0xA9>", "<s>", "x x"},
		Merges: []vocabulary.Merge{{Left: 1, Right: 2, Result: 3}},
		Added:  []vocabulary.Added{{ID: 6, Control: true}, {ID: 7, Pattern: "▁x▁x", Normalized: true}},
		Settings: vocabulary.Settings{
			Unit:       vocabulary.Characters,
			Normalizer: []vocabulary.Step{{Type: vocabulary.Prepend, Text: "▁"}, {Type: vocabulary.Replace, Text: " ", With: "▁"}},
			Decoder: []vocabulary.Step{
				{Type: vocabulary.Replace, Text: "▁", With: " "}, {Type: vocabulary.ByteFallback}, {Type: vocabulary.Fuse},
				{Type: vocabulary.Strip, Text: " ", Start: 1},
			},
			ByteFallback: true, Unknown: &unknown, FuseUnknown: true, Prefix: []int32{6}, End: []int32{6},
		},
	}
}

// TestDocumentedExample holds what FORMAT.md says that the example makes of texts.
func TestDocumentedExample(t *testing.T) {
	tok := build(t, documented())
	for text, want := range map[string][]int32{"a é": {3, 1, 4, 5}, "z": {1, 0}, "x x": {7}} {
		if got, err := tok.Encode(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for text, ids := range map[string][]int32{"a é": {3, 1, 4, 5}, "x x": {7}} {
		if got := decode(t, tok, ids...); got != text {
			t.Errorf("%v: %q, want %q", ids, got, text)
		}
	}
	if got := tok.Wrap([]int32{3}); !slices.Equal(got, []int32{6, 3}) {
		t.Errorf("with the post-processor: %v", got)
	}
}

// TestUnknownComesInOrder has unknown characters beside bytes. That the order is the reference's is held by TestRandomTokenizers
// of package conformance.
func TestUnknownComesInOrder(t *testing.T) {
	for _, test := range []struct {
		fuse bool
		want []int32
	}{{true, []int32{4, 5, 0, 2, 0}}, {false, []int32{0, 4, 5, 0, 2, 0, 0}}} {
		d := documented()
		d.Normalizer, d.FuseUnknown = nil, test.fuse
		if got, err := build(t, d).Encode("yzéaqq"); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("fused %v: %v, %v, want %v", test.fuse, got, err, test.want)
		}
	}
}

// TestDecoderOrder has decoders whose order counts.
func TestDecoderOrder(t *testing.T) {
	letter := vocabulary.Step{Type: vocabulary.Replace, Text: "<0xC3>", With: "y"}
	for _, test := range []struct {
		steps []vocabulary.Step
		want  string
	}{
		{[]vocabulary.Step{letter, {Type: vocabulary.ByteFallback}}, "y\xa9"},
		{[]vocabulary.Step{{Type: vocabulary.ByteFallback}, letter}, "é"},
		{[]vocabulary.Step{letter, {Type: vocabulary.Replace, Text: "y", With: "<0x41>"}, {Type: vocabulary.ByteFallback}}, "A\xa9"},
	} {
		d := documented()
		d.Decoder = test.steps
		if got := decode(t, build(t, d), 4, 5); got != test.want {
			t.Errorf("%v: %q, want %q", test.steps, got, test.want)
		}
	}
}

// TestSameAddedTokens: of many tokens with the same pattern the first is meant that the caller lets be found.
func TestSameAddedTokens(t *testing.T) {
	d := documented()
	d.Normalizer, d.Added = nil, nil
	for i := range 1000 {
		d.Added = append(d.Added, vocabulary.Added{ID: int32(len(d.Tokens)), Content: "  ", Pattern: "  ", Control: i < 500})
		d.Tokens = append(d.Tokens, "  ")
	}
	tok := build(t, d)
	if got, err := tok.Encode("  a"); err != nil || !slices.Equal(got, []int32{508, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := tok.EncodeSpecial("  a"); err != nil || !slices.Equal(got, []int32{8, 2}) {
		t.Errorf("with control tokens: %v, %v", got, err)
	}
}

// TestMuchWhiteSpace has tokens that swallow white space in texts of nothing else, and many that begin with it: it is here to end.
func TestMuchWhiteSpace(t *testing.T) {
	const size = 1 << 20
	random := rand.New(rand.NewPCG(73, 79))
	many := documented()
	for i := range 40_000 {
		content := strings.Repeat(" ", 1+i%250) + string([]byte{byte('a' + random.IntN(26)), byte('a' + random.IntN(26)), byte('a' + random.IntN(26))})
		many.Added = append(many.Added, vocabulary.Added{ID: int32(len(many.Tokens)), Control: i%2 == 0})
		many.Tokens = append(many.Tokens, content)
	}
	strips := documented()
	strips.Added = append(strips.Added, vocabulary.Added{ID: 8, LeftStrip: true, RightStrip: true}, vocabulary.Added{ID: 9, LeftStrip: true}, vocabulary.Added{ID: 10, RightStrip: true})
	strips.Tokens = append(strips.Tokens, " ", "\t", "\n")
	for name, d := range map[string]vocabulary.Definition{"many": many, "strips": strips} {
		tok := build(t, d)
		for _, white := range []string{" ", "\t", "\n", " \t\n"} {
			if _, err := tok.Encode(strings.Repeat(white, size/len(white))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestHostileSectionIsRefused: a section whose index is damaged is an error, not a panic.
func TestHostileSectionIsRefused(t *testing.T) {
	section, err := vocabulary.Build(documented())
	if err != nil {
		t.Fatal(err)
	}
	for at := 48; at < len(section)-4; at++ {
		damaged := slices.Clone(section)
		damaged[at] ^= 0x55
		if tok, err := tokenizer.New(damaged); err == nil {
			if _, err := tok.Encode("a é z x x <s>"); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
			t.Fatal(err)
		}
	}
}

// TestNormalizedTooLong has normalizers that make more than 2 GiB of a text.
func TestNormalizedTooLong(t *testing.T) {
	grow := []vocabulary.Step{{Type: vocabulary.Replace, Text: "a", With: strings.Repeat("b", 64)}}
	if _, err := tokenizer.Normalize(grow, strings.Repeat("a", 1<<25)); !errors.Is(err, tokenizer.ErrTooLong) {
		t.Errorf("%v, want ErrTooLong", err)
	}
	if text, err := tokenizer.Normalize(grow, strings.Repeat("a", 1<<15)); err != nil || len(text) != 64<<15 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
