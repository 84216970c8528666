package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/convert/bpe"
	format "github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// subject is the tokenizer that is compared.
type subject struct{ *tokenizer.Tokenizer }

func newSubject(t testing.TB, directory string) *subject {
	t.Helper()
	tok, err := tokenizer.New(section(t, directory))
	if err != nil {
		t.Fatal(err)
	}
	return &subject{tok}
}

// section returns the section of the tokenizer in a folder.
func section(t testing.TB, directory string) []byte {
	t.Helper()
	definition, _, err := bpe.Load(os.DirFS(directory), bpe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	section, err := format.Build(definition)
	if err != nil {
		t.Fatal(err)
	}
	return section
}

// reading is what a tokenizer makes of a text, as the files of cases have it.
type reading struct {
	Text    string  `json:"text"`
	IDs     []int32 `json:"ids"`
	Special []int32 `json:"ids_with_special"`
	Decoded string  `json:"decoded"` // of IDs
}

// difference says what s reads differently from the reference; nothing if it is the same.
func (s *subject) difference(want reading) (what string) {
	defer func() {
		if panicked := recover(); panicked != nil {
			what = fmt.Sprintf("panic: %v", panicked)
		}
	}()
	ids, err := s.EncodeSpecial(want.Text)
	if err != nil || !slices.Equal(ids, want.IDs) {
		return fmt.Sprintf("ids are %v (%v)", ids, err)
	}
	if ids := s.Wrap(ids); !slices.Equal(ids, want.Special) {
		return fmt.Sprintf("ids with special tokens are %v", ids)
	}
	text, err := s.Decode(want.IDs)
	if text = lossy(text); err != nil || text != want.Decoded {
		return fmt.Sprintf("decoded as %+q (%v)", text, err)
	}
	return ""
}

// lossy is Rust's String::from_utf8_lossy, with which the reference decodes: one U+FFFD for every longest part that could
// begin a character. Go's conversions make one for each byte or one for all.
func lossy(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var out strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 {
			// FullRune is false of what could become a character.
			for n < len(text) && !utf8.FullRuneInString(text[:n+1]) {
				n++
			}
		}
		out.WriteRune(r)
		text = text[n:]
	}
	return out.String()
}
