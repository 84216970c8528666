package conformance

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// String returns r as a line of a file of cases.
func (r reading) String() string {
	line, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for _, c := range string(line) {
		switch {
		case c < utf8.RuneSelf:
			out.WriteRune(c)
		case c <= 0xFFFF:
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			c -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xD800+c>>10, 0xDC00+c&0x3FF)
		}
	}
	return out.String()
}

func TestCasesKeepTheirText(t *testing.T) {
	want := reading{Text: "a\x00\n\u00e9\u4f60\U0001F642\U0010FFFF\u2028\uFFFD\"\\<"}
	line := want.String()
	var got reading
	if err := json.Unmarshal([]byte(line), &got); err != nil || got.Text != want.Text {
		t.Errorf("%s: %+q, %v, want %+q", line, got.Text, err, want.Text)
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) {
		t.Errorf("%s: not ASCII", line)
	}
}
