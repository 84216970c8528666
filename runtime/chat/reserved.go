package chat

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// The reserved characters: noncharacters, which no text interchanged has a meaning for.
const (
	firstReserved = '\uFDD0'
	lastReserved  = '\uFDEF'
)

// errNoReserved is the error of a conversation that uses all reserved characters itself.
var errNoReserved = errors.New("the messages, the template or the control tokens hold all of the characters U+FDD0 to U+FDEF")

// reserved returns characters that occur in none of the texts.
func reserved(count int, texts iter.Seq[string]) ([]rune, error) {
	var used [lastReserved - firstReserved + 1]bool
	for text := range texts {
		// All of them begin with the same two bytes but for the last.
		for rest := text; ; {
			at := strings.Index(rest, "\uFDD0"[:1])
			if at < 0 {
				break
			}
			c, length := utf8.DecodeRuneInString(rest[at:])
			if c >= firstReserved && c <= lastReserved {
				used[c-firstReserved] = true
			}
			rest = rest[at+length:]
		}
	}
	var free []rune
	for c := rune(firstReserved); c <= lastReserved && len(free) < count; c++ {
		if !used[c-firstReserved] {
			free = append(free, c)
		}
	}
	if len(free) < count {
		return nil, errNoReserved
	}
	return free, nil
}

// breaker puts a reserved character where no control token can reach across: before a text, and behind each
// character that could begin one. So nothing that a template cuts out of a text, or puts a text beside, becomes a control
// token that is not spelled by the template alone.
type breaker struct {
	mark   string
	firsts map[rune]bool
}

func newBreaker(mark rune, control []string) (breaker, error) {
	b := breaker{string(mark), map[rune]bool{}}
	for _, token := range control {
		first, length := utf8.DecodeRuneInString(token)
		if length == 0 {
			continue
		}
		if length == len(token) {
			return b, fmt.Errorf("the control token %q is one character, which a text cannot be kept from", token)
		}
		b.firsts[first] = true
	}
	return b, nil
}

func (b breaker) breaks(s string) string {
	if s == "" {
		return ""
	}
	var broken strings.Builder
	broken.Grow(len(s) + len(s)/8 + len(b.mark))
	broken.WriteString(b.mark)
	for _, c := range s {
		broken.WriteRune(c)
		if b.firsts[c] {
			broken.WriteString(b.mark)
		}
	}
	return broken.String()
}

// texts yields all texts of a value.
func texts(v any, yield func(string) bool) bool {
	switch v := v.(type) {
	case string:
		return yield(v)
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !texts(item, yield) })
	case Object:
		return !slices.ContainsFunc(v, func(f Field) bool { return !yield(f.Name) || !texts(f.Value, yield) })
	}
	return true
}

// allTexts yields the texts of a conversation, its variables, a template and the control tokens.
func (t *Template) allTexts(messages []Message, o Options, control []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, message := range messages {
			if !texts(message, yield) {
				return
			}
		}
		if !texts(o.Variables, yield) {
			return
		}
		for text := range maps.Values(t.source.Named) {
			if !yield(text) {
				return
			}
		}
		for _, text := range append(slices.Clone(control), t.source.Template, t.source.BOS.text(), t.source.EOS.text(), t.source.UNK.text(), t.source.PAD.text()) {
			if !yield(text) {
				return
			}
		}
	}
}
