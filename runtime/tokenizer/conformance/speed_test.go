package conformance

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tti-llm/tti/runtime/tokenizer"
)

var speed = flag.Bool("speed", false, "compare the speed of encoding English with the reference's; needs -packages and node")

// speedBytes is how much text is encoded at least, in pieces of a paragraph.
const speedBytes = 4 << 20

// TestSpeed prints how fast both encode the same English text with one thread. The reference also keeps track of where in
// the text a token lies; that its binding makes lists of JavaScript of the ids is not counted.
func TestSpeed(t *testing.T) {
	if *packages == "" || !*speed {
		t.Skip("needs -packages and -speed: see make tokenizer-speed")
	}
	texts, bytes := paragraphs(t)
	for _, v := range vocabularies {
		t.Run(v.name, func(t *testing.T) {
			s := v.open(t)
			o := newOracle(t, v.directory(t))
			// Both read everything once before: the reference remembers words.
			want := o.read(texts)
			s.encodeAll(t, want)
			ours := s.encodeAll(t, want)
			o.read(texts)
			megabytes := float64(bytes) / 1e6
			t.Logf("%.1f MB of English: tti %.1f MB/s, reference %.1f MB/s", megabytes, megabytes/ours, megabytes/o.seconds)
		})
	}
}

// encodeAll returns how long s takes for the texts of readings, in seconds.
func (s *subject) encodeAll(t *testing.T, readings []reading) float64 {
	t.Helper()
	start := time.Now()
	for _, want := range readings {
		ids, err := s.EncodeSpecial(want.Text)
		if err != nil || len(ids) != len(want.IDs) {
			t.Fatalf("%q: %d ids, %v, want %d", want.Text, len(ids), err, len(want.IDs))
		}
	}
	return time.Since(start).Seconds()
}

func paragraphs(t *testing.T) (texts []string, bytes int) {
	t.Helper()
	corpus, err := os.ReadFile(testdata + "golden/fable-calib.txt")
	if err != nil {
		t.Fatal(err)
	}
	for bytes < speedBytes {
		for text := range strings.SplitAfterSeq(string(corpus), "\n\n") {
			texts = append(texts, text)
			bytes += len(text)
		}
	}
	return texts, bytes
}

// TestLongTexts prints how long opening and checking a section take, and encoding texts that are long or all one word.
func TestLongTexts(t *testing.T) {
	if !*speed {
		t.Skip("needs -speed: see make tokenizer-speed")
	}
	const size = 10_000_000
	paragraphs, _ := paragraphs(t)
	english := strings.Join(paragraphs, "")
	english = strings.Repeat(english, size/len(english)+1)[:size]
	random := rand.New(rand.NewPCG(1, 2))
	letters := make([]byte, size)
	for i := range letters {
		letters[i] = 'a' + byte(random.IntN(26))
	}
	texts := []struct{ name, text string }{
		{"10 MB of English", english},
		{"1 MB of random letters", string(letters[:size/10])}, {"10 MB", string(letters)},
		{"1 MB of one letter", strings.Repeat("a", size/10)}, {"10 MB", strings.Repeat("a", size)},
		{"1 MB of spaces", strings.Repeat(" ", size/10)},
	}
	for _, v := range vocabularies {
		t.Run(v.name, func(t *testing.T) {
			section := section(t, v.directory(t))
			var tok *tokenizer.Tokenizer
			open := seconds(func() (err error) {
				tok, err = tokenizer.NewGuarded(section, func(read func() error) error { return read() })
				return err
			}, t)
			line := fmt.Sprintf("open %.2f ms, check %.2f ms", open*1e3, seconds(func() error { return tok.Check() }, t)*1e3)
			for _, text := range texts {
				line += fmt.Sprintf(", %s %.2f s", text.name, seconds(func() error { _, err := tok.Encode(text.text); return err }, t))
			}
			t.Log(line)
		})
	}
}

// seconds returns how long the faster of two calls takes.
func seconds(call func() error, t *testing.T) float64 {
	t.Helper()
	best := time.Hour
	for range 2 {
		start := time.Now()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	return best.Seconds()
}
