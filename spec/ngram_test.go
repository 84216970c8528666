package spec

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime"
)

// matchByScanning is NGram.match by looking everywhere.
func matchByScanning(text []int32, shortest int) (end, length int) {
	for at := len(text) - 1; at > 0; at-- {
		if n := commonSuffix(text[:at], text); n >= shortest && n > length {
			end, length = at, n
		}
	}
	return end, length
}

// TestMatchIsTheLongest compares with a plain search, in texts that grow and are taken back.
func TestMatchIsTheLongest(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for _, shortest := range []int{1, 2, 3, 6} {
		for _, alphabet := range []int32{2, 8, 40} {
			g := &NGram{MinMatch: shortest}
			var text []int32
			for range 400 {
				if len(text) > 0 && random.IntN(6) == 0 {
					text = text[:random.IntN(len(text))]
				}
				text = slices.Clone(text)
				for range 1 + random.IntN(5) {
					text = append(text, random.Int32N(alphabet))
				}
				end, length := g.match(text)
				wantEnd, want := matchByScanning(text, shortest)
				// Where there are too many occurrences, only the latest are looked at.
				if few := strings.Count(key(text), key(text[max(0, len(text)-shortest):])) < candidates; few && (end != wantEnd || length != want) {
					t.Fatalf("%v: a match of %d up to %d, want %d up to %d", text, length, end, want, wantEnd)
				}
				if length > 0 && (length < shortest || !slices.Equal(text[end-length:end], text[len(text)-length:])) {
					t.Fatalf("%v: no match of %d up to %d", text, length, end)
				}
			}
		}
	}
}

func key(text []int32) string {
	var b strings.Builder
	for _, id := range text {
		b.WriteRune(rune('a' + id))
	}
	return b.String()
}

func TestNGramGoesRoundInCircles(t *testing.T) {
	g := &NGram{}
	text := []int32{9, 8, 1, 2, 3, 1, 2, 3}
	got, err := g.Propose(context.Background(), text, 8, nil, nil)
	if want := []int32{1, 2, 3, 1, 2, 3, 1, 2}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
	if offer := g.Offer([]int32{1, 2, 3, 4, 1}); offer.Length != 0 {
		t.Errorf("%+v for a match that is too short", offer)
	}
}

// refrain repeats itself, and a model that has understood that goes on doing so.
const refrain = `The wolf went to the door and said, "Let me in, let me in!" But the goat said, "Not I, not I!"
The fox went to the door and said, "Let me in, let me in!" But the goat said, "Not I, not I!"
The bear went to the door and said, "Let me in, let me in!" But the goat said, "Not I, not I!"
The lion went to the door and said,`

// TestRepetitionNeedsFewPasses counts passes of the target, which is what time goes into.
func TestRepetitionNeedsFewPasses(t *testing.T) {
	target := model(t, "fable", int8)
	prompt := encode(t, target, refrain)
	want := plainly(target, prompt, runtime.Sampling{}, runtime.MaxTokens(128))
	for _, length := range []int{4, 8} {
		d := decoder(t, target, &NGram{})
		d.Length = length
		if got := speculatively(t, d, prompt, runtime.Sampling{}, runtime.MaxTokens(128)); !got.equal(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		s := d.Statistics()
		t.Logf("length %d: %.2f passes per token, acceptance %.2f", length, s.PassesPerToken(), s.AcceptanceRate())
		if s.PassesPerToken() > 0.6 {
			t.Errorf("length %d: %.2f passes per token", length, s.PassesPerToken())
		}
	}
}
