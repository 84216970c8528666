package tokenizer

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer/unicode16"
)

// Normalize applies normalizers to a text, in their order.
func Normalize(steps []vocabulary.Step, text string) string {
	for _, step := range steps {
		switch step.Type {
		case vocabulary.NFC:
			text = compose(text)
		case vocabulary.Prepend:
			if text != "" {
				text = step.Text + text
			}
		case vocabulary.Replace:
			text = strings.ReplaceAll(text, step.Text, step.With)
		}
	}
	return text
}

// compose returns the NFC of a text, of which characters that Unicode 9.0 does not know are no part: the tables that
// HuggingFace's tokenizers normalize by are that old, and Unicode promises that for older characters NFC never changes.
func compose(text string) string {
	if norm.NFC.IsNormalString(text) {
		return text // and so are its parts
	}
	var composed strings.Builder
	for text != "" {
		end, length := 0, 0
		for end < len(text) {
			r, n := utf8.DecodeRuneInString(text[end:])
			if unicode16.Of(r)&unicode16.Assigned9 == 0 {
				length = n
				break
			}
			end += n
		}
		composed.WriteString(norm.NFC.String(text[:end]))
		composed.WriteString(text[end : end+length])
		text = text[end+length:]
	}
	return composed.String()
}
