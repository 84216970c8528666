package tokenizer_test

import (
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

// FuzzSection: whatever section is accepted, every text comes back from it.
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
	f.Fuzz(func(t *testing.T, section []byte, text string) {
		if tok, err := tokenizer.New(section); err == nil {
			checkRoundTrip(t, tok, text)
		}
	})
}
