package generation

import (
	"math"

	"github.com/tti-llm/tti/kernels"
)

// Sampler draws tokens by one [Sampling] and the [Rules] of a text. It keeps memory between draws, never state: drawing again
// with the same arguments gives the same token. It is not safe for concurrent use.
type Sampler struct {
	Sampling
	kernels *kernels.Set
	rules   Rules
	logits  []float32 // a copy, where bias, mask or penalties change some
	ids     []int32   // of the tokens that may pass the filters, or passed them so far
	values  []float32 // their logits, where top-k is the only one
	scores  []float64 // logit / temperature, less the highest of all, otherwise
	edge    []edge    // of the nucleus
	heap    []rank
	seen    []uint64 // bit set of tokens, for the repetition penalty
	counts  []int32  // of tokens, for the frequency penalty; zeros between draws
}

// NewSampler returns a Sampler for the settings, which must be valid, on some set of kernels.
func NewSampler(set *kernels.Set, s Sampling) (*Sampler, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &Sampler{Sampling: s, kernels: set}, nil
}

// Draw returns the token that follows the preceding ones, prompt included, whose last one gave
// these logits. It fails with ErrNotANumber and ErrNothingAllowed.
func (s *Sampler) Draw(logits []float32, preceding []int32) (int32, error) {
	id, _, err := s.draw(logits, preceding, false)
	return id, err
}

// LargestMargin is the largest margin that DrawMargin tells: wider ones, which are worth no time, are
// told as this one.
const LargestMargin = 2.5

// DrawMargin is Draw that also says by how much the token won: the difference of its logit, divided
// by the temperature and with its noise unless the draw is greedy, to that of the next best, at most
// LargestMargin.
func (s *Sampler) DrawMargin(logits []float32, preceding []int32) (int32, float64, error) {
	return s.draw(logits, preceding, true)
}

func (s *Sampler) draw(logits []float32, preceding []int32, wantMargin bool) (id int32, margin float64, err error) {
	logits = s.adjust(logits, preceding)
	best, nan := s.kernels.ArgMax(logits)
	switch {
	case nan:
		return 0, 0, ErrNotANumber
	case math.IsInf(float64(logits[best]), -1):
		return 0, 0, ErrNothingAllowed
	}
	if s.Temperature == 0 {
		if wantMargin {
			margin = s.lead(logits, best)
		}
		return int32(best), margin, nil
	}
	c := s.newContest(logits, best, newNoise(s.Seed, len(preceding)), wantMargin)
	switch k := s.TopK; {
	case s.TopP > 0 && s.TopP < 1 || k > kernels.MaxThreshold && k < len(logits):
		s.keep(logits, logits[best])
		c.enterAll(s.ids, s.scores)
	case k > 0 && k < len(logits):
		s.collectTop(logits, k)
		s.enterEach(&c, s.ids, s.values, k)
	default:
		s.enterEach(&c, nil, logits, 0)
	}
	return c.winner, min(c.highest-c.second, LargestMargin), nil
}

// lead returns by how much the largest logit exceeds all others.
func (s *Sampler) lead(logits []float32, best int) float64 {
	second := float32(math.Inf(-1))
	for _, others := range [][]float32{logits[:best], logits[best+1:]} {
		if len(others) > 0 {
			i, _ := s.kernels.ArgMax(others)
			second = max(second, others[i])
		}
	}
	return min(float64(logits[best])-float64(second), LargestMargin)
}
