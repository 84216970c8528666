package tokenizer_test

import (
	"slices"
	"testing"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// FuzzEncode: any bytes come back, by way of every decoder, and are encoded as the twin does.
func FuzzEncode(f *testing.F) {
	d := define(f, fable)
	tok, w := build(f, d), newTwin(d)
	for _, text := range []string{"", "Once upon a time", "it's  \n\n x", "\xff\xe4\xb8", "a<|endoftext|>b", "数字１２３ ²½"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 2000 {
			checkTwin(t, tok, w, text)
		}
		checkRoundTrip(t, tok, text)
	})
}

func checkRoundTrip(t *testing.T, tok *tokenizer.Tokenizer, text string) {
	t.Helper()
	for _, encode := range []func(string) ([]int32, error){tok.Encode, tok.EncodeSpecial} {
		ids, err := encode(text)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := tok.Decode(ids); err != nil || back != text {
			t.Fatalf("%q comes back as %q, %v", text, back, err)
		}
		streamed, stream := "", tok.NewStream()
		for _, id := range ids {
			piece, err := stream.Next(id)
			if err != nil {
				t.Fatal(err)
			}
			streamed += piece
		}
		if streamed += stream.Flush(); streamed != text {
			t.Fatalf("%q streams as %q", text, streamed)
		}
	}
}

// FuzzSection: whatever section is accepted, every text comes back from it where its units are bytes and nothing is made of
// it before; otherwise it is encoded, and the ids have texts.
func FuzzSection(f *testing.F) {
	d := vocabulary.Definition{Settings: vocabulary.Classic(259)}
	for b := range 256 {
		d.Tokens = append(d.Tokens, string([]byte{byte(b)}))
	}
	d.Tokens = append(d.Tokens, "ab", "abab", "ba", "<end>", "<e", "")
	d.Merges = []vocabulary.Merge{{Left: 256, Right: 256, Result: 257}, {Left: 'a', Right: 'b', Result: 256}, {Left: 'b', Right: 'a', Result: 258}}
	d.Added = []vocabulary.Added{{ID: 259, Control: true}, {ID: 260}}
	section, err := vocabulary.Build(d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(section, "abababa <end> <e \xff")
	for _, d := range changeableDefinitions() {
		section, _, _ := changeable(f, d)
		f.Add(section, "abababa ▁é <end> <e \xff")
	}
	f.Fuzz(func(t *testing.T, section []byte, text string) {
		tok, err := tokenizer.New(section)
		if err != nil || len(text) > 4096 {
			return
		}
		if settings := tok.Settings(); settings.Unit == vocabulary.Bytes && len(settings.Normalizer) == 0 && len(settings.PreTokenizer) == 1 && !settings.PreTokenizer[0].Space && !strips(tok) {
			checkRoundTrip(t, tok, text)
			return
		}
		ids, err := tok.EncodeSpecial(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.Decode(ids); err != nil {
			t.Fatal(err)
		}
	})
}

// strips reports whether added tokens take more of a text, or less, than they decode to.
func strips(tok *tokenizer.Tokenizer) bool {
	return slices.ContainsFunc(tok.Added(), func(a vocabulary.Added) bool {
		return a.LeftStrip || a.RightStrip || decodeOne(tok, a.ID) != a.Pattern
	})
}

func decodeOne(tok *tokenizer.Tokenizer, id int32) string {
	text, err := tok.Decode([]int32{id})
	if err != nil {
		panic(err) // of an added token
	}
	return text
}
