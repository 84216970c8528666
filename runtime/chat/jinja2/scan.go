package jinja2

import (
	"fmt"
	"strings"
	"unicode"
)

type kind int

const (
	literal    kind = iota // literal text, white space already cut
	expression             // {{ }}
	statement              // {% %}
)

// piece is a part of a template: text, or the inside of a tag.
type piece struct {
	kind kind
	body string
	line int // of its first character, from 1
}

// scanner cuts a template into pieces by the rules of Jinja2's lexer with trim_blocks and lstrip_blocks set.
type scanner struct {
	source    string
	at        int
	lineStart bool // whether what precedes at ends with a line feed, or is nothing
	pieces    []piece
}

// tags are the openings of tags and their ends. Blocks, which are statements and comments, take the white space
// before them on their line and one line feed behind them.
var tags = map[string]struct {
	end   string
	block bool
}{
	"{{": {"}}", false},
	"{%": {"%}", true},
	"{#": {"#}", true},
}

func scan(source string) ([]piece, error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	s := scanner{source: strings.TrimSuffix(source, "\n"), lineStart: true}
	for s.at < len(s.source) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	return s.pieces, nil
}

func (s *scanner) line(at int) int { return 1 + strings.Count(s.source[:at], "\n") }

// next takes the text up to a tag, and the tag.
func (s *scanner) next() error {
	start := s.at
	open := s.findTag(start)
	if open < 0 {
		s.addText(start, len(s.source), 0, false)
		s.at = len(s.source)
		return nil
	}
	name := s.source[open : open+2]
	tag := tags[name]
	body := open + 2
	sign := byte(0)
	if body < len(s.source) && (s.source[body] == '-' || s.source[body] == '+') {
		sign = s.source[body]
		body++
	}
	if name == "{{" && sign == '+' {
		sign, body = 0, body-1
	}
	s.addText(start, open, sign, tag.block)
	if name == "{#" {
		end := strings.Index(s.source[body:], tag.end)
		if end < 0 {
			return fmt.Errorf("line %d: a comment without an end", s.line(open))
		}
		s.close(body+end, tag.end, true)
		return nil
	}
	end, err := s.findEnd(body, tag.end)
	if err != nil {
		return fmt.Errorf("line %d: %w", s.line(open), err)
	}
	inside := s.source[body:end]
	trimmed := strings.TrimRight(inside, "-+")
	if name == "{{" {
		trimmed = strings.TrimSuffix(inside, "-")
	}
	if name == "{%" && strings.TrimSpace(trimmed) == "raw" {
		s.close(end, tag.end, false)
		return s.raw(open)
	}
	s.pieces = append(s.pieces, piece{map[string]kind{"{{": expression, "{%": statement}[name], trimmed, s.line(open)})
	s.close(end, tag.end, tag.block)
	return nil
}

func (s *scanner) findTag(from int) int {
	for at := from; ; at++ {
		next := strings.IndexByte(s.source[at:], '{')
		if next < 0 {
			return -1
		}
		at += next
		if at+2 <= len(s.source) {
			if _, found := tags[s.source[at:at+2]]; found {
				return at
			}
		}
	}
}

// addText adds the text before a tag with a sign (0 for none).
func (s *scanner) addText(from, to int, sign byte, block bool) {
	body := s.source[from:to]
	switch {
	case sign == '-':
		body = strings.TrimRightFunc(body, IsSpace)
	case sign != '+' && block:
		line := strings.LastIndexByte(body, '\n') + 1
		if (line > 0 || s.lineStart) && strings.TrimFunc(body[line:], IsSpace) == "" {
			body = body[:line]
		}
	}
	if body != "" {
		s.pieces = append(s.pieces, piece{literal, body, s.line(from)})
	}
}

// findEnd finds the end of a tag, which does not count in strings and inside brackets.
func (s *scanner) findEnd(from int, end string) (int, error) {
	depth := 0
	for at := from; at < len(s.source); at++ {
		if depth == 0 && strings.HasPrefix(s.source[at:], end) {
			return at, nil
		}
		switch c := s.source[at]; c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth == 0 {
				return 0, fmt.Errorf("a %q too many", c)
			}
			depth--
		case '\'', '"':
			length := stringLength(s.source[at:])
			if length < 0 {
				return 0, fmt.Errorf("a string without an end")
			}
			at += length - 1
		}
	}
	return 0, fmt.Errorf("a tag without its end %q", end)
}

// stringLength returns the length of the quoted string a text begins with, or -1.
func stringLength(s string) int {
	for at := 1; at < len(s); at++ {
		switch s[at] {
		case '\\':
			at++
		case s[0]:
			return at + 1
		}
	}
	return -1
}

// close goes behind the end of a tag and the white space that it takes.
func (s *scanner) close(end int, mark string, block bool) {
	sign := byte(0)
	if end > 0 {
		sign = s.source[end-1]
	}
	s.at = end + len(mark)
	rest := s.source[s.at:]
	switch {
	case sign == '-':
		s.at += len(rest) - len(strings.TrimLeftFunc(rest, IsSpace))
	case block && sign != '+' && strings.HasPrefix(rest, "\n"):
		s.at++
	}
	s.lineStart = s.source[s.at-1] == '\n'
}

// raw takes the text up to endraw as it is.
func (s *scanner) raw(open int) error {
	start := s.at
	for at := start; ; at += 2 {
		next := strings.Index(s.source[at:], "{%")
		if next < 0 {
			return fmt.Errorf("line %d: raw without endraw", s.line(open))
		}
		at += next
		end := strings.Index(s.source[at:], "%}")
		if end < 0 {
			continue
		}
		if strings.Trim(s.source[at+2:at+end], "-+ \t\n") != "endraw" {
			continue
		}
		sign := s.source[at+2]
		s.addText(start, at, sign, true)
		s.close(at+end, "%}", true)
		return nil
	}
}

// IsSpace tells whether Python's str.isspace counts a character, and its strip takes it off.
func IsSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
