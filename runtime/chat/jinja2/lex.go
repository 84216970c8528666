package jinja2

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	endToken tokenKind = iota
	nameToken
	integerToken
	floatToken
	stringToken
	operatorToken
)

// token is a word of an expression. The value of a string is what it means, of others as it is written.
type token struct {
	kind  tokenKind
	value string
}

func (t token) String() string {
	if t.kind == endToken {
		return "the end of the tag"
	}
	return strconv.Quote(t.value)
}

// operators, longer ones before their beginnings.
var operators = []string{
	"//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ",", ":", "|", "(", ")", "[", "]", "{", "}",
}

// lex cuts the inside of a tag into tokens. Two ends follow, so that one may always look one token ahead.
func lex(s string) ([]token, error) {
	var tokens []token
	for {
		s = strings.TrimLeftFunc(s, IsSpace)
		if s == "" {
			return append(tokens, token{}, token{}), nil
		}
		t, length, err := lexOne(s)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		s = s[length:]
	}
}

func lexOne(s string) (token, int, error) {
	first, _ := utf8.DecodeRuneInString(s)
	switch {
	case s[0] == '\'' || s[0] == '"':
		length := stringLength(s)
		if length < 0 {
			return token{}, 0, fmt.Errorf("a string without an end")
		}
		value, err := unescape(s[1 : length-1])
		return token{stringToken, value}, length, err
	case s[0] >= '0' && s[0] <= '9':
		t, length := lexNumber(s)
		return t, length, nil
	case first == '_' || unicode.IsLetter(first):
		length := strings.IndexFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if length < 0 {
			length = len(s)
		}
		return token{nameToken, s[:length]}, length, nil
	}
	for _, o := range operators {
		if strings.HasPrefix(s, o) {
			return token{operatorToken, o}, len(o), nil
		}
	}
	return token{}, 0, fmt.Errorf("a character %q that means nothing here", first)
}

func digits(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		return len(s)
	}
	return n
}

func lexNumber(s string) (token, int) {
	if n := basedLength(s); n > digits(s) {
		return token{integerToken, s[:n]}, n
	}
	kind, length := integerToken, digits(s)
	if rest := s[length:]; len(rest) > 1 && rest[0] == '.' && digits(rest[1:]) > 0 {
		kind = floatToken
		length += 1 + digits(rest[1:])
	}
	if rest := s[length:]; len(rest) > 1 && (rest[0] == 'e' || rest[0] == 'E') {
		sign := 1
		if rest[1] == '+' || rest[1] == '-' {
			sign = 2
		}
		if n := digits(rest[sign:]); n > 0 {
			kind = floatToken
			length += sign + n
		}
	}
	return token{kind, s[:length]}, length
}

// basedLength returns the length of an integer with a base or with underscores.
func basedLength(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && !unicode.In(r, unicode.ASCII_Hex_Digit) && !strings.ContainsRune("xXoO", r)
	})
	if n < 0 {
		n = len(s)
	}
	if _, err := strconv.ParseInt(s[:n], 0, 64); err != nil {
		return 0
	}
	return n
}

// escapes are Python's of one letter.
var escapes = map[byte]string{
	'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': "\"", 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\n': "",
}

// hexEscapes are the numbers of digits of Python's escapes by number.
var hexEscapes = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// unescape reads the inside of a string as Python does; what is no escape stays as it is.
func unescape(s string) (string, error) {
	var b strings.Builder
	for at := 0; at < len(s); at++ {
		if s[at] != '\\' || at+1 == len(s) {
			b.WriteByte(s[at])
			continue
		}
		at++
		if short, found := escapes[s[at]]; found {
			b.WriteString(short)
			continue
		}
		base, from, length := 16, at+1, hexEscapes[s[at]]
		if length == 0 && s[at] >= '0' && s[at] <= '7' {
			base, from, length = 8, at, 1
			for length < 3 && from+length < len(s) && s[from+length] >= '0' && s[from+length] <= '7' {
				length++
			}
		}
		if length == 0 {
			b.WriteByte('\\')
			b.WriteByte(s[at])
			continue
		}
		if from+length > len(s) {
			return "", fmt.Errorf("an escape \\%c that is too short", s[at])
		}
		code, err := strconv.ParseUint(s[from:from+length], base, 32)
		if err != nil || !utf8.ValidRune(rune(code)) {
			return "", fmt.Errorf("an escape \\%c of no character", s[at])
		}
		b.WriteRune(rune(code))
		at = from + length - 1
	}
	return b.String(), nil
}
