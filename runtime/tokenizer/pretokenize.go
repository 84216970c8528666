package tokenizer

import (
	"strings"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer/unicode16"
)

// piece is some normalized text between added tokens, or what is left of it on the way to words.
type piece struct {
	text  string
	first bool // the text begins with it
}

// splitter cuts a piece that is not empty into smaller ones that are not, and calls yield for each until that returns
// false. It returns whether it never did.
type splitter func(p piece, yield func(piece) bool) bool

// newSplitter returns what cuts by one pre-tokenizer.
func newSplitter(step vocabulary.Step) splitter {
	switch step.Type {
	case vocabulary.Split:
		scan := literal(step.Text)
		if step.Pattern != "" {
			scan = scanners[step.Pattern]
		}
		return splitBy(scan, step.Behavior, step.Invert)
	case vocabulary.Digits:
		if step.Each {
			return splitBy(scanDigit, vocabulary.Isolated, false)
		}
		return splitBy(scanDigits, vocabulary.Isolated, false)
	case vocabulary.ByteLevel:
		return byteLevel(step)
	case vocabulary.Metaspace:
		return metaspace(step)
	}
	panic("tokenizer: pre-tokenizer " + step.Type) // vocabulary knows no other
}

// chain returns the splitter that lets each of several cut what the one before it has left.
func chain(splitters []splitter) splitter {
	switch len(splitters) {
	case 0:
		return func(p piece, yield func(piece) bool) bool { return yield(p) }
	case 1:
		return splitters[0]
	}
	outer, inner := splitters[0], chain(splitters[1:])
	return func(p piece, yield func(piece) bool) bool {
		return outer(p, func(p piece) bool { return inner(p, yield) })
	}
}

// splitBy cuts at the matches of a pattern. What becomes of these says behavior; invert takes what lies between for the
// matches.
func splitBy(scan scanner, behavior string, invert bool) splitter {
	return func(p piece, yield func(piece) bool) bool {
		text, begin := p.text, 0 // what begins at begin has not been yielded yet
		emit := func(from, to int) bool {
			return from == to || yield(piece{text[from:to], p.first && from == 0})
		}
		for at := 0; at < len(text); {
			start, end := scan(text[at:])
			start, end = at+start, at+end
			for _, part := range [2]struct {
				from, to int
				match    bool
			}{{at, start, invert}, {start, end, !invert}} {
				if part.from == part.to {
					continue
				}
				switch {
				case behavior == vocabulary.MergedWithPrevious && part.match:
					if !emit(begin, part.to) {
						return false
					}
					begin = part.to
				case behavior == vocabulary.MergedWithPrevious:
					if !emit(begin, part.from) {
						return false
					}
					begin = part.from
				case behavior == vocabulary.Removed && part.match:
					begin = part.to
				default:
					if !emit(part.from, part.to) {
						return false
					}
					begin = part.to
				}
			}
			at = end
		}
		return emit(begin, len(text))
	}
}

// literal finds a text.
func literal(want string) scanner {
	return func(text string) (start, end int) {
		if start = strings.Index(text, want); start < 0 {
			return len(text), len(text)
		}
		return start, start + len(want)
	}
}

func scanDigit(text string) (start, end int) {
	for start < len(text) {
		mask, n := maskAt(text[start:])
		if mask&unicode16.Numeric != 0 {
			return start, start + n
		}
		start += n
	}
	return start, start
}

func scanDigits(text string) (start, end int) {
	start, _ = scanDigit(text)
	return start, start + run(text[start:], unicode16.Numeric)
}

// byteLevel cuts by GPT-2's pattern where that is asked for. That words are bytes from here on shows only when they are
// merged.
func byteLevel(step vocabulary.Step) splitter {
	cut := chain(nil)
	if step.Pattern != "" {
		cut = splitBy(scanners[step.Pattern], vocabulary.Isolated, false)
	}
	if !step.Space {
		return cut
	}
	return func(p piece, yield func(piece) bool) bool {
		if p.text[0] != ' ' {
			p.text = " " + p.text
		}
		return cut(p, yield)
	}
}

// metaspace writes a character for spaces and cuts before it.
func metaspace(step vocabulary.Step) splitter {
	space := step.Text
	return func(p piece, yield func(piece) bool) bool {
		text := strings.ReplaceAll(p.text, " ", space)
		if !strings.HasPrefix(text, space) && (step.Scheme == vocabulary.Always || step.Scheme == vocabulary.First && p.first) {
			text = space + text
		}
		if !step.Split {
			return yield(piece{text, p.first})
		}
		for begin := 0; begin < len(text); {
			end := begin + cutBefore(text[begin:], space)
			if !yield(piece{text[begin:end], p.first && begin == 0}) {
				return false
			}
			begin = end
		}
		return true
	}
}

// cutBefore returns the length of the text before the first occurrence of a character other than at the start.
func cutBefore(text, character string) int {
	_, n := utf8.DecodeRuneInString(text)
	if at := strings.Index(text[n:], character); at >= 0 {
		return n + at
	}
	return len(text)
}
