package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// Stream decodes tokens as they come into whole characters: the bytes of a character that is not
// complete yet are held back. Bytes that no further byte could complete are passed on as they are.
// What Next returned so far, and Flush at the end, make up exactly what Decode returns.
//
// A Stream is for one sequence and one goroutine.
type Stream struct {
	tokenizer *Tokenizer
	held      []byte
}

// NewStream starts decoding a sequence.
func (t *Tokenizer) NewStream() *Stream { return &Stream{tokenizer: t} }

// Next takes a token and returns the text that is whole with it, often none. It fails as Decode does, and the stream is
// then as before.
func (s *Stream) Next(id int32) (string, error) {
	if !s.tokenizer.known(id) {
		return "", fmt.Errorf("decode: id %d: %w, the vocabulary has %d", id, ErrUnknownToken, s.tokenizer.Size())
	}
	err := s.tokenizer.guard(func() error {
		s.held = append(s.held, s.tokenizer.vocabulary.Token(id)...)
		return nil
	})
	if err != nil {
		return "", err
	}
	whole := len(s.held) - incompleteLength(s.held)
	text := string(s.held[:whole])
	s.held = append(s.held[:0], s.held[whole:]...)
	return text, nil
}

// Flush ends the sequence and returns what was held back: the beginning of a character that was
// never completed. The stream can take another sequence.
func (s *Stream) Flush() string {
	text := string(s.held)
	s.held = s.held[:0]
	return text
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
