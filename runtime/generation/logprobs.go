package generation

import (
	"cmp"
	"slices"

	"github.com/tti-llm/tti/kernels"
)

// Logprob is a token and the logarithm of the probability that a model gives it.
type Logprob struct {
	ID      int32
	Logprob float64
}

// Logprobs returns the logarithm of a token's probability, and the most probable tokens with theirs, as many as top says, in
// descending order, ties to the lower id. They are those of the softmax of the model's own logits: what the settings of the
// Sampler make of these does not enter. Like a draw they are the same everywhere.
func (s *Sampler) Logprobs(logits []float32, id int32, top int) (logprob float64, best []Logprob) {
	normalizer := logSumExp(logits)
	if top = min(top, len(logits)); top > 0 {
		s.ids = s.ids[:0]
		s.keepTop(logits, top)
		slices.SortFunc(s.ids, func(a, b int32) int { return cmp.Compare(rankOf(b, logits[b]), rankOf(a, logits[a])) })
		for _, id := range s.ids {
			best = append(best, Logprob{id, float64(logits[id]) - normalizer})
		}
	}
	return float64(logits[id]) - normalizer, best
}

// logSumExp returns the logarithm of the sum of e^logit, of terms in ascending order of ids, with functions that are
// our own.
func logSumExp(logits []float32) float64 {
	highest := slices.Max(logits)
	sum := 0.0
	for _, logit := range logits {
		sum += float64(kernels.Exp(logit - highest))
	}
	return float64(highest) + kernels.Log(sum)
}
