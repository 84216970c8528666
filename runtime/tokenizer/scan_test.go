package tokenizer

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/vocabulary"
)

// asExpression is a pattern for Go's regexp, which has no look-ahead and knows less of spaces. The spaces that a text's last
// alternatives match are a group: see firstMatch.
func asExpression(pattern string) *regexp.Regexp {
	const space = `\t\n\v\f\r\x{85}\p{Z}` // Unicode's White_Space
	pattern = strings.ReplaceAll(pattern, `|\s+(?!\S)|\s+`, `|([`+space+`]+)`)
	pattern = strings.ReplaceAll(pattern, `[^\s`, `[^`+space)
	pattern = strings.ReplaceAll(pattern, `\s`, `[`+space+`]`)
	return regexp.MustCompile(pattern)
}

// firstMatch finds the first match. Spaces before something else leave the last of them to it, unless there is one alone.
func firstMatch(expression *regexp.Regexp, text string) (start, end int) {
	match := expression.FindStringSubmatchIndex(text)
	if match == nil {
		return len(text), len(text)
	}
	start, end = match[0], match[1]
	if len(match) > 2 && match[2] >= 0 && end < len(text) && utf8.RuneCountInString(text[start:end]) > 1 {
		_, last := utf8.DecodeLastRuneInString(text[start:end])
		end -= last
	}
	return start, end
}

// TestScannersFollowThePatterns compares every scanner with its pattern on random texts of characters of every class.
func TestScannersFollowThePatterns(t *testing.T) {
	t.Parallel()
	if len(scanners) != len(vocabulary.Patterns) {
		t.Errorf("%d scanners, %d patterns", len(scanners), len(vocabulary.Patterns))
	}
	characters := []rune("aaZzéÉßǅʰ中あァ゠龥\u0301\u0903019½Ⅷ١ \u00a0\u3000\u2028\t\r\n\n\v  ''sSſtdmlLrReEvV.,!?-/\\_~€“+😀")
	random := rand.New(rand.NewPCG(5, 6))
	for name, scan := range scanners {
		expression := asExpression(vocabulary.Patterns[name])
		for range 20_000 {
			var text strings.Builder
			for range 1 + random.IntN(12) {
				text.WriteRune(characters[random.IntN(len(characters))])
			}
			start, end := scan(text.String())
			if wantStart, wantEnd := firstMatch(expression, text.String()); start != wantStart || end != wantEnd {
				t.Fatalf("%s: %q matches from %d to %d, want %d to %d", name, text.String(), start, end, wantStart, wantEnd)
			}
		}
	}
}
