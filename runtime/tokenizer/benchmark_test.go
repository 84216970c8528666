package tokenizer_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime/tokenizer"
)

const benchmarkSize = 10_000_000

// repeat returns text over and over, size bytes of it.
func repeat(text string, size int) string {
	return strings.Repeat(text, size/len(text)+1)[:size]
}

func randomLetters(size int) string {
	random := rand.New(rand.NewPCG(1, 2))
	letters := make([]byte, size)
	for i := range letters {
		letters[i] = 'a' + byte(random.IntN(26))
	}
	return string(letters)
}

func BenchmarkEncode(b *testing.B) {
	english, err := os.ReadFile("../../testdata/golden/fable-eval.txt")
	if err != nil {
		b.Fatal(err)
	}
	tok := load(b, gpt2)
	for _, text := range []struct{ name, text string }{
		{"english", repeat(string(english), benchmarkSize)},
		{"chinese", repeat("從前有一個國王和一個王后他們很想要一個孩子，可是一直沒有。", benchmarkSize)},
		{"one-letter-word", strings.Repeat("a", benchmarkSize)},
		{"random-word", randomLetters(benchmarkSize)},
		{"repeated-word", repeat("theprinceandtheprincess", benchmarkSize)},
		{"spaces", strings.Repeat(" ", benchmarkSize)},
		{"invalid", strings.Repeat("\xff", benchmarkSize)},
	} {
		b.Run(text.name, func(b *testing.B) { encodeAll(b, tok, text.text) })
	}
}

func encodeAll(b *testing.B, tok *tokenizer.Tokenizer, text string) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tok.Encode(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := load(b, gpt2)
	ids, err := tok.Encode(repeat("Once upon a time there was a princess. ", benchmarkSize))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchmarkSize)
	for b.Loop() {
		if _, err := tok.Decode(ids); err != nil {
			b.Fatal(err)
		}
	}
}
