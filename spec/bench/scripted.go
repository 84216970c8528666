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
	model, err := spec.NewModel(draft, target)
	if err != nil {
		return nil, err
	}
	s := &scripted{Model: model}
	for _, prompt := range prompts {
		text := append([]int32{}, prompt...)
		for token, err := range target.Generate(ctx, prompt, runtime.Sampling{}, runtime.MaxTokens(tokens), runtime.IgnoreEndOfText()) {
			if err != nil {
				return nil, err
			}
			text = append(text, token.ID)
		}
		s.texts = append(s.texts, text)
	}
	s.Replace = func(position int, _ int32) int32 {
		if position >= len(s.text) {
			return 0
		}
		right := s.text[position]
		if lucky(position, uint64(s.text[0]), acceptance) {
			return right
		}
		return (right + 1) % int32(target.Shape().Vocabulary)
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

// scripted is a draft model that is told what to say.
type scripted struct {
	*spec.Model
	texts [][]int32
	text  []int32 // the one that is being written
}

// Propose implements spec.Drafter.
func (s *scripted) Propose(ctx context.Context, text []int32, n int, sampler *runtime.Sampler, more func(margin float64) bool) ([]int32, error) {
	for _, t := range s.texts {
		if len(t) >= len(text) && slices.Equal(t[:len(text)], text) {
			s.text = t
		}
	}
	return s.Model.Propose(ctx, text, n, sampler, more)
}
