package tokenizer

import (
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// composable are characters that compose, decompose, are reordered or excluded, and jamo.
var composable = []rune("aeoAZ \u00e9\u1e9b\u212b\u0301\u0308\u0323\u0327\u0344\u0345\u0958\u0915\u093c\u09c7\u09be\u0ddd\u1100\u1161\u11a8\uac00\uac01\u3099\u304b\ufb1d\u05b4\U0001d15e")

func randomSegments(random *rand.Rand, length int) string {
	var text strings.Builder
	for range length {
		text.WriteRune(composable[random.IntN(len(composable))])
	}
	return text.String()
}

// TestComposeSegment compares with package norm on texts that are too short for it to put anything into them.
func TestComposeSegment(t *testing.T) {
	random := rand.New(rand.NewPCG(59, 61))
	for range 20000 {
		text := randomSegments(random, random.IntN(10))
		var got strings.Builder
		composeSegment(&got, text)
		if want := norm.NFC.String(text); got.String() != want {
			t.Fatalf("%+q: %+q, want %+q", text, got.String(), want)
		}
	}
}

// TestComposeLongRuns puts long runs of marks between other text: all is NFC, nothing is put in, and bytes that are no UTF-8 stay.
func TestComposeLongRuns(t *testing.T) {
	random := rand.New(rand.NewPCG(67, 71))
	for range 500 {
		begin, end, marks := randomSegments(random, 6), "é"+randomSegments(random, 6), random.IntN(100)
		text := begin + "x" + strings.Repeat("\u0301", marks) + strings.Repeat("\u0323", marks) + "\xff" + strings.Repeat("\u0301", marks) + end
		want := norm.NFC.String(begin) + norm.NFC.String("x")
		want += strings.Repeat("\u0323", marks) + strings.Repeat("\u0301", marks) + "\xff" + strings.Repeat("\u0301", marks) + norm.NFC.String(end)
		if got := compose(text); got != want {
			t.Fatalf("%+q: %+q, want %+q", text, got, want)
		}
	}
	// Characters that are newer than Unicode 9 stay as they are, and stand between the others.
	for _, text := range []string{"\U000105d2\u0307", "\U00011383\U000113c9"} {
		if got := compose(text + "e\u0301"); got != text+"é" {
			t.Errorf("%+q: %+q", text, got)
		}
	}
}
