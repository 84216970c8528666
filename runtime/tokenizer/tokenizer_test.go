package tokenizer_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// withAdded is the fable's vocabulary with more added tokens, in the order given, after it.
func withAdded(t testing.TB, contents []string, control bool) vocabulary.Definition {
	d := define(t, fable)
	for _, content := range contents {
		d.Added = append(d.Added, vocabulary.Added{ID: int32(len(d.Tokens)), Control: control})
		d.Tokens = append(d.Tokens, content)
	}
	return d
}

// decode returns the bytes of tokens that the vocabulary has.
func decode(t *testing.T, tok *tokenizer.Tokenizer, ids ...int32) string {
	t.Helper()
	text, err := tok.Decode(ids)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestControlTokens(t *testing.T) {
	tok := load(t, fable)
	end, ok := tok.EOS()
	if !ok || end != 2047 || decode(t, tok, end) != "<|endoftext|>" {
		t.Fatalf("end of text %d, %v", end, ok)
	}
	text := "The end.<|endoftext|>\n<|endoftext|"
	plain, err := tok.Encode(text)
	if err != nil || slices.Contains(plain, end) {
		t.Errorf("plain text became %v, %v", plain, err)
	}
	first, _ := tok.Encode("The end.")
	rest, _ := tok.Encode("\n<|endoftext|")
	special, err := tok.EncodeSpecial(text)
	if want := slices.Concat(first, []int32{end}, rest); err != nil || !slices.Equal(special, want) {
		t.Errorf("special: %v, %v, want %v", special, err, want)
	}
	for _, ids := range [][]int32{plain, special} {
		if back, err := tok.Decode(ids); err != nil || back != text {
			t.Errorf("decoded %q, %v", back, err)
		}
	}
}

// Text around an added token is split as if it stood alone, and the longest of the leftmost wins.
func TestAddedTokens(t *testing.T) {
	tok := build(t, withAdded(t, []string{"<a", "<a>", "<a><b>", "  ", "é"}, false))
	encode := func(text string) []int32 {
		ids, err := tok.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	for text, want := range map[string][]int32{
		"<a><b>":           {2050},
		"<a><b":            slices.Concat([]int32{2049}, encode("<b")),
		"<a":               {2048},
		"<":                encode("<"),
		"x   y":            slices.Concat(encode("x"), []int32{2051}, encode(" y")),
		"café<a>é":         slices.Concat(encode("caf"), []int32{2052, 2049, 2052}),
		"<a><|endoftext|>": slices.Concat([]int32{2049}, encode("<|endoftext|>")),
	} {
		if got := encode(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if got, err := tok.EncodeSpecial("<a><|endoftext|>"); err != nil || !slices.Equal(got, []int32{2049, 2047}) {
		t.Errorf("special: %v, %v", got, err)
	}
}

// TestAddedTokensEqualSearch compares with trying every token at every place.
func TestAddedTokensEqualSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 17))
	letters := func(size int) string {
		text := make([]byte, size)
		for i := range text {
			text[i] = "xyz"[random.IntN(3)]
		}
		return string(text)
	}
	for range 100 {
		var contents []string
		for range 1 + random.IntN(12) {
			if content := letters(1 + random.IntN(5)); !slices.Contains(contents, content) {
				contents = append(contents, content)
			}
		}
		tok := build(t, withAdded(t, contents, true))
		text := letters(200)
		var want []int32
		plain := 0 // start of the text that no token was found in yet
		flush := func(end int) {
			ids, _ := tok.Encode(text[plain:end])
			want = append(want, ids...)
		}
		for at := 0; at < len(text); {
			longest, id := 0, int32(0)
			for i, content := range contents {
				if len(content) > longest && strings.HasPrefix(text[at:], content) {
					longest, id = len(content), int32(2048+i)
				}
			}
			if longest == 0 {
				at++
				continue
			}
			flush(at)
			want = append(want, id)
			at += longest
			plain = at
		}
		flush(len(text))
		if got, err := tok.EncodeSpecial(text); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q with %q: %v, %v, want %v", text, contents, got, err, want)
		}
	}
}

func TestIDsOutOfRange(t *testing.T) {
	tok := load(t, fable)
	for _, id := range []int32{-1, 2048, 1 << 30} {
		if _, err := tok.Decode([]int32{0, id}); !errors.Is(err, tokenizer.ErrUnknownToken) {
			t.Errorf("decode %d: %v", id, err)
		}
		if _, err := tok.NewStream().Next(id); !errors.Is(err, tokenizer.ErrUnknownToken) {
			t.Errorf("stream %d: %v", id, err)
		}
	}
}

// TestStream checks that text comes as soon as it is whole, never earlier, and nothing is lost.
func TestStream(t *testing.T) {
	random := rand.New(rand.NewPCG(19, 23))
	tok := load(t, gpt2)
	stream := tok.NewStream()
	for range 500 {
		text := generate(random, random.IntN(100))
		ids, err := tok.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		var seen, passed string
		for _, id := range ids {
			piece, err := stream.Next(id)
			if err != nil {
				t.Fatal(err)
			}
			seen += decode(t, tok, id)
			passed += piece
			if !strings.HasPrefix(seen, passed) {
				t.Fatalf("%q passed on as %q", seen, passed)
			}
			if held := seen[len(passed):]; held != "" && utf8.FullRuneInString(held) {
				t.Fatalf("%q of %q is held back", held, seen)
			}
			if utf8.ValidString(text) && !utf8.ValidString(piece) {
				t.Fatalf("%q is torn: %q", text, piece)
			}
		}
		if passed += stream.Flush(); passed != text {
			t.Fatalf("%q came as %q", text, passed)
		}
	}
}

// TestLongWords is here to end, and to lose nothing.
func TestLongWords(t *testing.T) {
	if testing.Short() {
		t.Skip("words of 10 MB")
	}
	tok := load(t, gpt2)
	for name, word := range map[string]string{
		"one letter": strings.Repeat("a", benchmarkSize), "random letters": randomLetters(benchmarkSize),
	} {
		ids, err := tok.Encode(word)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := tok.Decode(ids); err != nil || back != word {
			t.Errorf("%s: does not come back: %v", name, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	text, err := os.ReadFile("../../testdata/golden/fable-eval.txt")
	if err != nil {
		t.Fatal(err)
	}
	word := randomLetters(5000)
	tok := load(t, gpt2)
	wantText, _ := tok.Encode(string(text))
	wantWord, _ := tok.Encode(word)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			gotText, _ := tok.EncodeSpecial(string(text))
			gotWord, _ := tok.Encode(word)
			back, _ := tok.Decode(gotText)
			if !slices.Equal(gotText, wantText) || !slices.Equal(gotWord, wantWord) || back != string(text) {
				t.Error("another result beside others")
			}
		})
	}
	group.Wait()
}
