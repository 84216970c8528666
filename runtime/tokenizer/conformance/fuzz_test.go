package conformance

import (
	"flag"
	"testing"
)

var (
	count = flag.Int("texts", 0, "random texts on which each tokenizer is compared with the reference; needs -packages and node")
	seed  = flag.Uint64("seed", 1, "which random texts")
)

const (
	batch   = 1000 // texts that the reference is asked about at once
	reports = 5    // differences that are shown of a tokenizer
	tries   = 50   // texts that are minimized for them: many may end as the same
)

// TestRandomTexts asks the reference about random texts and shows the smallest texts it finds that are read differently, as
// lines that a file of cases takes. Text number i of a seed is the same in every run.
func TestRandomTexts(t *testing.T) {
	if *packages == "" || *count == 0 {
		t.Skip("needs -packages and -texts: see make tokenizer-fuzz")
	}
	for _, v := range vocabularies {
		t.Run(v.name, func(t *testing.T) {
			s, directory := v.open(t), v.directory(t)
			c := comparison{subject: s, oracle: newOracle(t, directory), texts: newTexts(t, directory, s)}
			c.run(t)
		})
	}
}

type comparison struct {
	subject *subject
	oracle  *oracle
	texts   *texts
}

func (c *comparison) run(t *testing.T) {
	different, bytes := 0, 0
	shown := map[string]bool{}
	for first := 0; first < *count; first += batch {
		var texts []string
		for i := first; i < min(first+batch, *count); i++ {
			text := c.texts.text(*seed, uint64(i))
			texts = append(texts, text)
			bytes += len(text)
		}
		for i, want := range c.oracle.read(texts) {
			if c.subject.difference(want) == "" {
				continue
			}
			different++
			if len(shown) == reports || different > tries {
				continue
			}
			small := minimize(want.Text, c.differs)
			if !shown[small] {
				shown[small] = true
				want := c.oracle.read([]string{small})[0]
				t.Errorf("text %d of seed %d: %s\n%s", first+i, *seed, c.subject.difference(want), want)
			}
		}
	}
	t.Logf("%d of %d texts (%d KB) differ", different, *count, bytes>>10)
}

func (c *comparison) differs(text string) bool {
	return c.subject.difference(c.oracle.read([]string{text})[0]) != ""
}

// minimize returns a text of which wrong is still true, but no more if any character of it is taken away.
func minimize(text string, wrong func(string) bool) string {
	characters := []rune(text)
	for size := len(characters) / 2; size > 0; {
		shorter := false
		for at := 0; at+size <= len(characters); {
			rest := append(append([]rune{}, characters[:at]...), characters[at+size:]...)
			if wrong(string(rest)) {
				characters, shorter = rest, true
			} else {
				at += size
			}
		}
		if !shorter || size > 1 {
			size = min(size/2, len(characters))
		}
	}
	return string(characters)
}

func TestMinimize(t *testing.T) {
	for text, want := range map[string]string{
		"xxaxxxbxx":         "ab",
		"ab":                "ab",
		"aab你好bb":           "ab",
		"ccccccccccccccabb": "ab",
	} {
		got := minimize(text, func(text string) bool {
			a := false
			for _, c := range text {
				a = a || c == 'a'
				if a && c == 'b' {
					return true
				}
			}
			return false
		})
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
