package tokenizer

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// Stream decodes tokens as they come into whole characters: the bytes of a character that is not
// complete yet are held back. Bytes that no further byte could complete are passed on as they are.
//
// A Stream is for one sequence and one goroutine.
type Stream struct {
	tokenizer *Tokenizer
	plain     bool // control tokens have no text
	begun     bool // a token has come
	strip     int  // how much may still be taken away from the start of the text
	held      []byte
}

// NewStream starts decoding a sequence. What Next returns, and Flush at the end, make up exactly what Decode returns.
func (t *Tokenizer) NewStream() *Stream { return &Stream{tokenizer: t, strip: t.decoder.count} }

// NewAnswer starts decoding what follows a prompt: what the text of both has more than that of the prompt. Control
// tokens have no text.
func (t *Tokenizer) NewAnswer(prompt []int32) *Stream {
	s := &Stream{tokenizer: t, plain: true, strip: t.decoder.count}
	if slices.ContainsFunc(prompt, func(id int32) bool { return !t.control[id] }) {
		s.begun, s.strip = true, 0
	}
	return s
}

// Next takes a token and returns the text that is whole with it, often none. It fails as Decode does, and the stream is
// then as before.
func (s *Stream) Next(id int32) (string, error) {
	t := s.tokenizer
	if !t.known(id) {
		return "", fmt.Errorf("decode: id %d: %w, the vocabulary has %d", id, ErrUnknownToken, t.Size())
	}
	if s.plain && t.control[id] {
		return "", nil
	}
	err := t.guard(func() error {
		s.held = t.append(s.held, id, !s.begun)
		return nil
	})
	if err != nil {
		return "", err
	}
	s.begun = true
	return s.release(len(s.held) - incompleteLength(s.held)), nil
}

// Flush ends the sequence and returns what was held back: the beginning of a character that was
// never completed. The stream can take another sequence.
func (s *Stream) Flush() string {
	text := s.release(len(s.held))
	s.begun, s.strip = false, s.tokenizer.decoder.count
	return text
}

// release returns so many of the bytes that are held.
func (s *Stream) release(whole int) string {
	text := s.held[:whole]
	if s.strip > 0 && whole > 0 {
		rest, stripped := s.tokenizer.decoder.stripStart(text, s.strip)
		if s.strip -= stripped; len(rest) > 0 {
			s.strip = 0
		}
		text = rest
	}
	released := string(text)
	s.held = append(s.held[:0], s.held[whole:]...)
	return released
}

// incompleteLength returns the length of the unfinished character at the end of text, or 0.
func incompleteLength(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if end := text[len(text)-n:]; utf8.RuneStart(end[0]) {
			if utf8.FullRune(end) {
				return 0
			}
			return n
		}
	}
	return 0
}
