package jinja2

import (
	"strings"
	"unicode"
)

func isLetter(c rune) bool { return unicode.IsLetter(c) }
func isDigit(c rune) bool  { return unicode.IsDigit(c) }

// capitalize makes the first character upper case and the rest lower case.
func capitalize(s string) string {
	for at := range s {
		if at > 0 {
			return strings.ToTitle(s[:at]) + strings.ToLower(s[at:])
		}
	}
	return strings.ToTitle(s)
}

// titlePython is str.title: each letter behind another is lower case, each other one upper case.
func titlePython(s string) string {
	inside := false
	return strings.Map(func(c rune) rune {
		was := inside
		inside = unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c)
		if was {
			return unicode.ToLower(c)
		}
		return unicode.ToTitle(c)
	}, s)
}

// titleFilter is Jinja2's filter title: words begin after white space, hyphens and opening brackets.
func titleFilter(s string) string {
	start := true
	return strings.Map(func(c rune) rune {
		was := start
		start = IsSpace(c) || strings.ContainsRune("-({[<", c)
		if was {
			return unicode.ToTitle(c)
		}
		return unicode.ToLower(c)
	}, s)
}
