package conformance

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"
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
