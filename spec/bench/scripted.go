package bench

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// Scripted returns a drafter that knows the greedy texts after the prompts and guesses each token
// right with the given probability. It runs the draft model for every guess, so it costs what that
// costs: a proof of the mechanism with models whose own guesses mean nothing.
func Scripted(ctx context.Context, draft, target *runtime.Model, prompts [][]int32, tokens int, acceptance float64) (spec.Drafter, error) {
	if err := draft.UseThreads(target.Threads()); err != nil {
		return nil, err
	}
	s := &scripted{draft: draft, session: draft.NewSession(), vocabulary: int32(target.Shape().Vocabulary), acceptance: acceptance}
	for _, prompt := range prompts {
		text := slices.Clone(prompt)
		for token, err := range target.Generate(ctx, prompt, runtime.Sampling{}, runtime.MaxTokens(tokens), runtime.IgnoreEOS()) {
			if err != nil {
				return nil, err
			}
			text = append(text, token.ID)
		}
		s.texts = append(s.texts, text)
	}
	return s, nil
}

// lucky reports whether the guess at a position is right. Which guesses are is chance, but in every 20
// positions they are as many as the rate says, so that short texts have it too.
func lucky(position int, seed uint64, rate float64) bool {
	const block = 20
	number, index := position/block, position%block
	upTo := func(n int) int { return int(math.Round(float64(n*block) * rate)) }
	random := rand.New(rand.NewPCG(uint64(number), seed))
	return random.Perm(block)[index] < upTo(number+1)-upTo(number)
}

// scripted is a draft model that is told what to say. But for that it does what spec.Model does.
type scripted struct {
	draft      *runtime.Model
	session    *runtime.Session
	vocabulary int32
	acceptance float64
	texts      [][]int32
	drafted    []int32
}

// Origin implements spec.Drafter.
func (s *scripted) Origin() spec.Origin { return spec.FromDraft }

// Offer implements spec.Drafter.
func (s *scripted) Offer(text []int32) spec.Offer {
	return spec.Offer{Length: max(0, s.draft.Shape().Context-len(text)+1), Behind: len(text) - s.session.Common(text[:len(text)-1]), Margins: true}
}

// Propose implements spec.Drafter.
func (s *scripted) Propose(ctx context.Context, text []int32, n int, sampler *runtime.Sampler, more func(margin float64) bool) ([]int32, error) {
	s.session.Keep(text[:len(text)-1])
	s.drafted = s.drafted[:0]
	for next := text[s.session.Len():]; ; next = s.drafted[len(s.drafted)-1:] {
		logits, err := s.session.AppendContext(ctx, next)
		if err != nil {
			return nil, err
		}
		_, margin, err := sampler.DrawMargin(logits, s.session.Tokens())
		if err != nil {
			return nil, err
		}
		s.drafted = append(s.drafted, s.guess(text, len(text)+len(s.drafted)))
		if len(s.drafted) == n || more != nil && !more(margin) {
			return s.drafted, nil
		}
	}
}

// guess returns what is said for a position of the text that is being written.
func (s *scripted) guess(text []int32, position int) int32 {
	for _, t := range s.texts {
		if position < len(t) && slices.Equal(t[:len(text)], text) {
			if lucky(position, uint64(t[0]), s.acceptance) {
				return t[position]
			}
			return (t[position] + 1) % s.vocabulary
		}
	}
	return 0
}
