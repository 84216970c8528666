package generation

import (
	"errors"
	"math"
	"slices"
)

// ErrNothingAllowed is returned where no token may follow a text.
var ErrNothingAllowed = errors.New("no token is allowed")

// Mask says which tokens may be drawn: token id where bit id%64 of word id/64 is set, no token beyond its end. A nil Mask
// allows all.
type Mask []uint64

// Allows reports whether a token may be drawn.
func (m Mask) Allows(id int32) bool {
	word := int(id / 64)
	return m == nil || word < len(m) && m[word]>>(id%64)&1 == 1
}

// Allowed returns which tokens may follow what was generated so far, the prompt not included. It must be a pure function of
// that: the texts of successive calls usually grow by a token, but drafts are tried and taken back, so whoever keeps a state
// must find out how much of it still holds. The Mask is valid until the next call.
type Allowed func(generated []int32) Mask

// Rules are what a Sampler must know of a text apart from its tokens. The zero value knows no prompt and forbids nothing.
type Rules struct {
	Prompt    int     // how many of the preceding tokens are the prompt's
	MinTokens int     // before so many tokens were generated, those of Ends are not drawn, unless no other is allowed
	Ends      []int32 // tokens that end the text
	Allowed   Allowed // nil: all
}

// Begin makes the next draws follow the rules of a text.
func (s *Sampler) Begin(r Rules) { s.rules = r }

// forbid sets the logits of tokens that may not follow to -Inf.
func (s *Sampler) forbid(logits []float32, mask Mask, withoutEnds bool) {
	if mask != nil {
		for id := range logits {
			if !mask.Allows(int32(id)) {
				logits[id] = float32(math.Inf(-1))
			}
		}
	}
	if !withoutEnds {
		return
	}
	isEnd := func(id int) bool { return slices.Contains(s.rules.Ends, int32(id)) }
	for id := range logits {
		if mask.Allows(int32(id)) && !isEnd(id) { // there is something else
			for _, end := range s.rules.Ends {
				if int(end) < len(logits) {
					logits[end] = float32(math.Inf(-1))
				}
			}
			return
		}
	}
}
