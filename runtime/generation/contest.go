package generation

import (
	"math"

	"github.com/tti-llm/tti/kernels"
)

// contest finds the token with the largest sum of score and noise, ties to the lower id.
type contest struct {
	noise
	best            int32   // has the largest logit, and is in from the beginning
	score           float64 // that logit / temperature
	winner          int32
	highest, second float64 // sums
	// threshold is what a sum must reach to matter: to win or, where the margin is wanted, to be close.
	threshold float64
	reach     float64 // by how much the threshold is below the highest sum
}

func (s *Sampler) newContest(logits []float32, best int, n noise, wantMargin bool) contest {
	score := float64(logits[best]) / s.Temperature
	sum := score - score + gumbel(n.random(int32(best)))
	c := contest{noise: n, best: int32(best), score: score, winner: int32(best), highest: sum, second: math.Inf(-1)}
	if wantMargin {
		c.reach = LargestMargin
	}
	c.threshold = c.highest - c.reach
	return c
}

// enter compares a sum with those before.
func (c *contest) enter(id int32, sum float64) {
	if sum > c.highest || sum == c.highest && id < c.winner {
		c.winner, c.highest, c.second = id, sum, c.highest
	} else {
		c.second = max(c.second, sum)
	}
	c.threshold = c.highest - c.reach
	if c.reach > 0 {
		c.threshold = max(c.threshold, c.second)
	}
}

// enterAll lets tokens in. The cheap bound spares most of them two logarithms.
func (c *contest) enterAll(ids []int32, scores []float64) {
	for i, id := range ids {
		random := c.random(id)
		if id != c.best && !(scores[i]+gumbelBound(random) < c.threshold) {
			c.enter(id, scores[i]+gumbel(random))
		}
	}
}

// enterEach lets tokens in that are not below MinP and, unless k is 0, among the k best; ids ascend, and are nil
// for all tokens. A product that is a bit too large, in the place of the division by the temperature, and a cheap
// bound of the noise spare most of them even these questions.
func (s *Sampler) enterEach(c *contest, ids []int32, logits []float32, k int) {
	highest, minimum := c.score, math.Inf(-1)
	if s.MinP > 0 {
		minimum = kernels.Log(s.MinP)
	}
	// The product and the difference are exact to 2^-51 of their operands.
	const precision = 1e-12
	inverse, slack := 1/s.Temperature, float64(math.Abs(highest)*precision)
	for i, logit := range logits {
		id := int32(i)
		if ids != nil {
			id = ids[i]
		}
		random := c.random(id)
		bound := float64(float64(logit)*inverse) - highest
		bound += float64(math.Abs(bound)*precision) + slack
		if !(bound+gumbelBound(random) >= c.threshold) || id == c.best { // -Inf, of what is not allowed, has no bound
			continue
		}
		if score := float64(logit)/s.Temperature - highest; score >= minimum && (k == 0 || s.isAmong(k, logits, i)) {
			c.enter(id, score+gumbel(random))
		}
	}
}

// isAmong reports whether logit number i is among the k largest, of equal ones the first.
func (s *Sampler) isAmong(k int, logits []float32, i int) bool {
	larger, equal := s.kernels.Count(logits, logits[i])
	if larger+equal <= k {
		return true
	}
	_, before := s.kernels.Count(logits[:i], logits[i])
	return larger+before < k
}
