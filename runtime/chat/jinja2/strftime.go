package jinja2

import (
	"fmt"
	"strings"
	"time"
)

// directives are those of Python's strftime in the C locale, as layouts of package time.
var directives = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'j': "002",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'f': "000000", 'p': "PM",
	'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon",
	'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06",
	'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
}

// strftime formats a time. A directive that is not known is an error, so that no wrong date goes into a prompt.
func strftime(now time.Time, format string) (string, error) {
	var b strings.Builder
	for at := 0; at < len(format); at++ {
		if format[at] != '%' {
			b.WriteByte(format[at])
			continue
		}
		at++
		if at == len(format) {
			return "", fmt.Errorf("a format that ends with %%")
		}
		// glibc, on which Python's stands, leaves out padding for a hyphen.
		padded := format[at] != '-' || at+1 == len(format)
		if !padded {
			at++
		}
		layout, known := directives[format[at]]
		switch {
		case known && format[at] == 'f':
			fmt.Fprintf(&b, "%06d", now.Nanosecond()/1000)
		case known && padded:
			b.WriteString(now.Format(layout))
		case known:
			value := strings.TrimLeft(now.Format(layout), "0 ")
			if value == "" {
				value = "0"
			}
			b.WriteString(value)
		case format[at] == '%' && padded:
			b.WriteByte('%')
		default:
			return "", fmt.Errorf("the date format %%%c is not known", format[at])
		}
		if b.Len() > MaxOutput {
			return "", ErrTooCostly
		}
	}
	return b.String(), nil
}
