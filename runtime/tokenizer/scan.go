package tokenizer

import (
	"strings"
	"unicode/utf8"

	u "github.com/tti-llm/tti/runtime/tokenizer/unicode16"
)

// scanner finds the first match of a pattern in a text that is not empty, from start up to end, both len(text) if there
// is none. Patterns of which every character of a text belongs to some match find one at the start.
type scanner func(text string) (start, end int)

// scanners cut by the patterns of vocabulary.Patterns, by name. Each does what the pattern says, alternative by
// alternative in the same order, without the search for it; the names of the functions' parts follow the patterns.
var scanners = map[string]scanner{
	"gpt2":      scanGPT2,
	"llama3":    wordScanner{digits: 3, tail: "\r\n"}.scan,
	"qwen2":     wordScanner{digits: 1, tail: "\r\n"}.scan,
	"qwen3.5":   wordScanner{digits: 1, tail: "\r\n", marks: u.M}.scan,
	"o200k":     caseScanner{digits: 3, contractions: true}.scan,
	"tekken":    caseScanner{digits: 1}.scan,
	"numbers-3": scanNumbers,
	"cjk":       scanCJK,
	"deepseek":  scanDeepSeek,
}

var asciiMasks = func() (masks [utf8.RuneSelf]u.Mask) {
	for c := range masks {
		masks[c] = u.Of(rune(c))
	}
	return masks
}()

// maskAt returns the properties and the length of text's first character, nothing and 0 at its end. A byte that is not
// part of valid UTF-8 counts as U+FFFD.
func maskAt(text string) (u.Mask, int) {
	if text == "" {
		return 0, 0
	}
	if text[0] < utf8.RuneSelf {
		return asciiMasks[text[0]], 1
	}
	r, n := utf8.DecodeRuneInString(text)
	return u.Of(r), n
}

// run returns the length of the characters at the start of text that have one of the properties.
func run(text string, want u.Mask) (end int) {
	for {
		mask, n := maskAt(text[end:])
		if mask&want == 0 {
			return end
		}
		end += n
	}
}

// runWithout returns the length of the characters at the start of text that have none of the properties.
func runWithout(text string, unwanted u.Mask) (end int) {
	for {
		mask, n := maskAt(text[end:])
		if n == 0 || mask&unwanted != 0 {
			return end
		}
		end += n
	}
}

// runOf returns the length of the characters at the start of text that are among these, which are ASCII.
func runOf(text, characters string) (end int) {
	for end < len(text) && strings.IndexByte(characters, text[end]) >= 0 {
		end++
	}
	return end
}

// scanGPT2 is the pattern of A. Radford et al. (2019), encoder.py.
func scanGPT2(text string) (start, end int) {
	if n := contraction(text, false); n > 0 {
		return 0, n
	}
	at := 0
	if text[0] == ' ' && len(text) > 1 {
		at = 1
	}
	for _, class := range []u.Mask{u.L, u.N} {
		if n := run(text[at:], class); n > 0 {
			return 0, at + n
		}
	}
	if n := runWithout(text[at:], u.Space|u.L|u.N); n > 0 {
		return 0, at + n
	}
	return 0, spaces(text)
}

// spaces matches \s+(?!\S)|\s+ at the start of text: of several spaces before something else the last one is left out.
func spaces(text string) int {
	end, last := 0, 0
	for {
		mask, n := maskAt(text[end:])
		if mask&u.Space == 0 {
			if n > 0 && last > 0 {
				return last
			}
			return end
		}
		last = end
		end += n
	}
}

// contraction returns the length of 's|'t|'re|'ve|'m|'ll|'d at the start of text, or 0. Where case is ignored, the long s
// is an s, too.
func contraction(text string, ignoreCase bool) int {
	if len(text) < 2 || text[0] != '\'' {
		return 0
	}
	lower := func(c byte) byte {
		if ignoreCase && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	switch lower(text[1]) {
	case 's', 't', 'm', 'd':
		return 2
	}
	if ignoreCase && strings.HasPrefix(text[1:], "ſ") {
		return 1 + len("ſ")
	}
	if len(text) > 2 {
		switch string([]byte{lower(text[1]), lower(text[2])}) {
		case "re", "ve", "ll":
			return 3
		}
	}
	return 0
}

// wordScanner is the family of patterns that begins with tiktoken's cl100k_base:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
type wordScanner struct {
	digits int    // how many make a number
	marks  u.Mask // that belong to words, and not to symbols
	tail   string // what symbols take along
}

func (s wordScanner) scan(text string) (start, end int) {
	if n := contraction(text, true); n > 0 {
		return 0, n
	}
	letters := u.L | s.marks
	first, n := maskAt(text)
	if first&(u.L|u.N) == 0 && text[0] != '\r' && text[0] != '\n' {
		if more := run(text[n:], letters); more > 0 {
			return 0, n + more
		}
	}
	if n := run(text, letters); n > 0 {
		return 0, n
	}
	return 0, s.rest(text)
}

// rest matches what follows words in the pattern: numbers, symbols and spaces.
func (s wordScanner) rest(text string) int {
	if n := numbers(text, s.digits); n > 0 {
		return n
	}
	at := 0
	if text[0] == ' ' {
		at = 1
	}
	if n := runWithout(text[at:], u.Space|u.L|u.N|s.marks); n > 0 {
		at += n
		return at + runOf(text[at:], s.tail)
	}
	return spacesAndLines(text)
}

// numbers matches \p{N}{1,most}.
func numbers(text string, most int) (end int) {
	for range most {
		mask, n := maskAt(text[end:])
		if mask&u.N == 0 {
			break
		}
		end += n
	}
	return end
}

// spacesAndLines matches \s*[\r\n]+|\s+(?!\S)|\s+: white space up to its last line end, if it has any.
func spacesAndLines(text string) int {
	all := run(text, u.Space)
	if last := strings.LastIndexAny(text[:all], "\r\n"); last >= 0 {
		return last + 1
	}
	return spaces(text)
}

const (
	upper = u.Lu | u.Lt | u.Lm | u.Lo | u.M
	lower = u.Ll | u.Lm | u.Lo | u.M
)

// caseScanner is the family of patterns that begins with tiktoken's o200k_base, which also cuts before capital letters:
//
//	[^\r\n\p{L}\p{N}]?[upper]*[lower]+(?i:'s|...)?|[^\r\n\p{L}\p{N}]?[upper]+[lower]*(?i:'s|...)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// where letters without case and marks are both upper and lower.
type caseScanner struct {
	digits       int
	contractions bool
}

func (s caseScanner) scan(text string) (start, end int) {
	first, n := maskAt(text)
	before := 0
	if first&(u.L|u.N) == 0 && text[0] != '\r' && text[0] != '\n' {
		before = n
	}
	for _, word := range []func(string) int{lowerWord, upperWord} {
		end := word(text[before:])
		if end > 0 {
			end += before
		} else if before > 0 {
			end = word(text)
		}
		if end > 0 {
			if s.contractions {
				end += contraction(text[end:], true)
			}
			return 0, end
		}
	}
	return 0, wordScanner{digits: s.digits, tail: "\r\n/"}.rest(text)
}

// lowerWord matches [upper]*[lower]+.
func lowerWord(text string) int {
	capitals := run(text, upper)
	if n := run(text[capitals:], lower); n > 0 {
		return capitals + n
	}
	// The last of them that is lower as well is given back.
	for capitals > 0 {
		r, n := utf8.DecodeLastRuneInString(text[:capitals])
		if u.Of(r)&lower != 0 {
			return capitals
		}
		capitals -= n
	}
	return 0
}

// upperWord matches [upper]+[lower]*.
func upperWord(text string) int {
	n := run(text, upper)
	if n == 0 {
		return 0
	}
	return n + run(text[n:], lower)
}

// first returns the first match of a pattern that may match nothing at some places: match returns its length there.
func first(text string, match func(text string) int) (start, end int) {
	for start < len(text) {
		if n := match(text[start:]); n > 0 {
			return start, start + n
		}
		_, n := maskAt(text[start:])
		start += n
	}
	return start, start
}

func scanNumbers(text string) (start, end int) {
	return first(text, func(text string) int { return numbers(text, 3) })
}

// scanCJK is [一-龥぀-ゟ゠-ヿ]+.
func scanCJK(text string) (start, end int) {
	return first(text, func(text string) (end int) {
		for i, r := range text {
			if (r < '一' || r > '龥') && (r < '぀' || r > 'ヿ') {
				return i
			}
		}
		return len(text)
	})
}

// asciiSymbols are the characters that DeepSeek's pattern names one by one.
const asciiSymbols = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// scanDeepSeek is the last of the patterns of DeepSeek-V3.
func scanDeepSeek(text string) (start, end int) {
	return first(text, func(text string) int {
		if strings.IndexByte(asciiSymbols, text[0]) >= 0 {
			end := 1
			for end < len(text) && (text[end]|0x20 >= 'a' && text[end]|0x20 <= 'z') {
				end++
			}
			if end > 1 {
				return end
			}
		}
		mask, n := maskAt(text)
		if mask&(u.L|u.P|u.S) == 0 && text[0] != '\r' && text[0] != '\n' {
			if more := run(text[n:], u.L|u.M); more > 0 {
				return n + more
			}
		}
		if n := run(text, u.L|u.M); n > 0 {
			return n
		}
		at := 0
		if text[0] == ' ' {
			at = 1
		}
		if n := run(text[at:], u.P|u.S); n > 0 {
			at += n
			return at + runOf(text[at:], "\r\n")
		}
		return spacesAndLines(text)
	})
}
