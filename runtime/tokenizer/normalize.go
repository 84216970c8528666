package tokenizer

import (
	"math"
	"strings"

	"github.com/tti-llm/tti/format/vocabulary"
)

// Normalize applies normalizers to a text, in their order. It fails with ErrTooLong.
func Normalize(steps []vocabulary.Step, text string) (string, error) {
	for _, step := range steps {
		length := int64(len(text))
		switch step.Type {
		case vocabulary.NFC:
			text = compose(text)
		case vocabulary.Prepend:
			if text != "" {
				text = step.Text + text
			}
		case vocabulary.Replace:
			if more := len(step.With) - len(step.Text); more > 0 {
				length += int64(more) * int64(strings.Count(text, step.Text))
			}
			if length <= math.MaxInt32 {
				text = strings.ReplaceAll(text, step.Text, step.With)
			}
		}
		if max(length, int64(len(text))) > math.MaxInt32 {
			return "", ErrTooLong
		}
	}
	return text, nil
}
