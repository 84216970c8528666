package spec

import (
	"context"

	"github.com/tti-llm/tti/runtime"
)

// Origin says who came up with a token.
type Origin string

const (
	FromTarget Origin = "target"
	FromDraft  Origin = "draft"  // a draft model
	FromNGram  Origin = "n-gram" // a look-up in the text itself
)

// Drafter guesses how a text goes on. Calls are about any texts, but are cheap only where a text is
// one of an earlier call and what was added since; a Drafter that keeps anything finds out for
// itself what of it still holds. Good or bad, its guesses change the speed and nothing else.
type Drafter interface {
	// Origin says what kind of guesses these are.
	Origin() Origin
	// Offer says what Propose could do for the text at the moment. It is asked before every pass
	// and must cost next to nothing.
	Offer(text []int32) Offer
	// Propose returns at least one and at most n guesses for the tokens that follow the text, which
	// is never empty; n is at least 1 and no more than was offered. Where it draws from
	// probabilities, it does so with the sampler, which then draws the same token as the target
	// whenever the probabilities are alike. The result is valid until the next call.
	//
	// If the offer said Margins and more is not nil, it tells more after each guess by which margin it was
	// preferred to all others, see runtime.Sampler.DrawMargin, and ends the draft where the answer is no.
	Propose(ctx context.Context, text []int32, n int, sampler *runtime.Sampler, more func(margin float64) bool) ([]int32, error)
}

// Offer is what a Drafter could do for a text.
type Offer struct {
	// Length is the largest number of guesses, 0 if there is none.
	Length int
	// Behind is how many tokens of the text it would have to run first, in one batch.
	Behind int
	// Class sorts offers by how good they look, from 0 to Classes-1: the rate at which guesses prove
	// right is kept for each class.
	Class int
	// Margins says that Propose asks after each guess whether more are wanted.
	Margins bool
}

// Classes is the number of classes of offers.
const Classes = 4
