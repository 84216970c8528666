package generation

import (
	"strings"

	"github.com/tti-llm/tti/runtime/tokenizer"
)

// TextStream turns tokens into text as they come: whole UTF-8 characters, and nothing that may
// turn out to be the beginning of a stop string.
type TextStream struct {
	characters *tokenizer.Stream
	stops      []string
	held       string
	stopped    bool
}

// NewTextStream returns a stream of these characters that ends before the first occurrence of any of the stop strings.
// Empty ones are ignored.
func NewTextStream(characters *tokenizer.Stream, stops ...string) *TextStream {
	s := &TextStream{characters: characters}
	for _, stop := range stops {
		if stop != "" {
			s.stops = append(s.stops, stop)
		}
	}
	return s
}

// Push adds a token and returns the text that is certain now. stopped says that a stop string has
// been found; what precedes it has been returned, and nothing more will come. It fails as tokenizer.Stream.Next does.
func (s *TextStream) Push(id int32) (text string, stopped bool, err error) {
	if s.stopped {
		return "", true, nil
	}
	characters, err := s.characters.Next(id)
	if err != nil {
		return "", false, err
	}
	s.held += characters
	text, stopped = s.release(false)
	return text, stopped, nil
}

// Flush returns what was held back, incomplete characters included.
func (s *TextStream) Flush() string {
	if s.stopped {
		return ""
	}
	s.held += s.characters.Flush()
	text, _ := s.release(true)
	return text
}

func (s *TextStream) release(all bool) (string, bool) {
	end, first := len(s.held), -1
	for _, stop := range s.stops {
		if at := strings.Index(s.held, stop); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	if first >= 0 {
		text := s.held[:first]
		s.held, s.stopped = "", true
		return text, true
	}
	if !all {
		for _, stop := range s.stops {
			end = min(end, len(s.held)-overlap(s.held, stop))
		}
	}
	text := s.held[:end]
	s.held = s.held[end:]
	return text, false
}

// overlap returns the length of the longest end of text that stop begins with.
func overlap(text, stop string) int {
	for n := min(len(text), len(stop)-1); n > 0; n-- {
		if strings.HasPrefix(stop, text[len(text)-n:]) {
			return n
		}
	}
	return 0
}
