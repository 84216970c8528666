package main

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// wrapped returns what a wrapper makes of a text that comes in pieces of random lengths.
func wrapped(t *testing.T, text string, width int, random *rand.Rand) string {
	t.Helper()
	var out strings.Builder
	w := &wrapper{out: &out, width: func() int { return width }}
	same := func(text string) string { return text }
	for runes := []rune(text); len(runes) > 0; {
		n := 1 + random.IntN(len(runes))
		if err := w.write(string(runes[:n]), same); err != nil {
			t.Fatal(err)
		}
		runes = runes[n:]
	}
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWrap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three", 7, "one two\nthree"},
		{"one two three", 8, "one two\nthree"},
		{"one two three", 0, "one two three"},
		{"one  two", 5, "one\ntwo"},
		{"a\n\n  b c d", 5, "a\n\n  b c\nd"},
		{"extraordinary word", 5, "extraordinary\nword"},
		{"trailing ", 20, "trailing "},
		{"\tx y", 10, "\tx\ny"},
		{"狼と狐は", 5, "狼と\n狐は"},
		{"é́ é́ é́", 3, "é́ é́\né́"},
	} {
		for range 20 {
			if got := wrapped(t, c.text, c.width, random); got != c.want {
				t.Errorf("%q in %d columns is %q, want %q", c.text, c.width, got, c.want)
			}
		}
	}
}

// TestWrapProperties: no line is wider than the window unless a word is, no character but a space is lost, and no break comes too early.
func TestWrapProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var text strings.Builder
		for range 1 + random.IntN(30) {
			text.WriteString(strings.Repeat("x", 1+random.IntN(9)))
			text.WriteString([]string{" ", " ", " ", "\n"}[random.IntN(4)])
		}
		width := 4 + random.IntN(20)
		got := wrapped(t, text.String(), width, random)
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(text.String()), " ") {
			t.Fatalf("%q becomes %q", text.String(), got)
		}
		lines := strings.Split(got, "\n")
		for i, line := range lines {
			line = strings.TrimRight(line, " ")
			if len(line) > width && strings.Contains(line, " ") {
				t.Fatalf("%q has the line %q in %d columns", text.String(), line, width)
			}
			if i+1 < len(lines) && !strings.Contains(text.String(), line+"\n") && lines[i+1] != "" {
				if next := strings.Fields(lines[i+1])[0]; len(line)+1+len(next) <= width {
					t.Fatalf("%q in %d columns: %q stands in a line of its own after %q", text.String(), width, next, line)
				}
			}
		}
	}
}
