package spec

import (
	"context"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/generation"
)

const (
	// defaultMatch is the shortest repetition that is taken for one.
	defaultMatch = 2
	// longestMatch is up to where matches are compared: longer ones are not surer.
	longestMatch = 32
	// candidates bounds how many earlier occurrences are looked at, the latest first.
	candidates = 64
	// tableBits is the logarithm of the number of chains: some times a context's positions.
	tableBits = 13
)

// NGram drafts by looking the end of the text up in what precedes it: what followed there is what
// it guesses. It needs no model (A. Saxena, "Prompt Lookup Decoding", 2023). The index, chains of
// the positions whose last tokens have the same hash, as in LZ77 compressors, grows with the text
// and shrinks when the text is taken back. The zero value is ready.
type NGram struct {
	// MinMatch is how many tokens must repeat before what followed them is proposed, 0 for 2.
	MinMatch int

	text     []int32               // what is indexed
	latest   [1 << tableBits]int32 // by hash: the latest position in a chain, plus one
	previous []int32               // by position: the one before in its chain, plus one
	drafted  []int32
}

// Origin implements Drafter.
func (g *NGram) Origin() Origin { return FromNGram }

// Offer implements Drafter. The longer the repetition, the higher the class.
func (g *NGram) Offer(text []int32) Offer {
	_, length := g.match(text)
	if length == 0 {
		return Offer{}
	}
	offer := Offer{Length: MaxLength}
	for offer.Class < len(longer) && length >= longer[offer.Class] {
		offer.Class++
	}
	return offer
}

// longer holds the lengths of matches at which a higher class begins.
var longer = [Classes - 1]int{3, 5, 9}

// Propose implements Drafter. A repetition that reaches the end of the text goes on with its own
// beginning.
func (g *NGram) Propose(_ context.Context, text []int32, n int, _ *runtime.Sampler, _ func(float64) bool) ([]int32, error) {
	end, length := g.match(text)
	g.drafted = g.drafted[:0]
	for i := end; length > 0 && len(g.drafted) < n; i++ {
		if i < len(text) {
			g.drafted = append(g.drafted, text[i])
		} else {
			g.drafted = append(g.drafted, g.drafted[i-len(text)])
		}
	}
	return g.drafted, nil
}

func (g *NGram) minMatch() int {
	if g.MinMatch > 0 {
		return g.MinMatch
	}
	return defaultMatch
}

// match returns where the longest repetition of the text's end itself ends, the latest of equally
// long ones, and its length, 0 if there is none.
func (g *NGram) match(text []int32) (end, length int) {
	g.index(text)
	last := len(text) - 1
	if len(text) <= g.minMatch() {
		return 0, 0
	}
	at := g.previous[last]
	for range candidates {
		if at == 0 {
			break
		}
		if n := commonSuffix(text[:at], text); n > length {
			end, length = int(at), n
		}
		if length == longestMatch {
			break
		}
		at = g.previous[at-1]
	}
	if length < g.minMatch() {
		return 0, 0
	}
	return end, length
}

// commonSuffix returns how many tokens two texts have in common at their ends, at most longestMatch.
func commonSuffix(a, b []int32) int {
	n := 0
	for n < min(len(a), len(b), longestMatch) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// index brings the chains to the text: positions that no longer hold are taken off, the new ones
// put on.
func (g *NGram) index(text []int32) {
	valid := generation.CommonPrefix(g.text, text)
	for i := len(g.text) - 1; i >= valid; i-- {
		g.latest[g.hash(g.text[:i+1])] = g.previous[i]
	}
	g.text, g.previous = append(g.text[:valid], text[valid:]...), g.previous[:valid]
	for i := valid; i < len(text); i++ {
		chain := &g.latest[g.hash(text[:i+1])]
		g.previous = append(g.previous, *chain)
		*chain = int32(i + 1)
	}
}

// hash returns the chain of the text's last tokens, as many as must match.
func (g *NGram) hash(text []int32) int {
	h := uint64(0)
	for _, id := range text[max(0, len(text)-g.minMatch()):] {
		h = (h ^ uint64(uint32(id))) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return int(h >> (64 - tableBits))
}
