package generation

import (
	"slices"

	"github.com/tti-llm/tti/kernels"
)

// keep fills ids and scores with the tokens that the filters leave. There is always at least one, that
// with the largest logit.
func (s *Sampler) keep(logits []float32, largest float32) {
	s.ids, s.scores = s.ids[:0], s.scores[:0]
	if k := s.TopK; k > 0 && k < len(logits) {
		s.keepTop(logits, k)
	} else {
		s.keepAll(logits)
	}
	highest := float64(largest) / s.Temperature
	for _, id := range s.ids {
		s.scores = append(s.scores, float64(logits[id])/s.Temperature-highest)
	}
	if s.TopP > 0 && s.TopP < 1 {
		s.keepNucleus(logits)
	}
	if s.MinP > 0 {
		minimum := kernels.Log(s.MinP)
		s.keepIf(func(score float64) bool { return score >= minimum })
	}
}

// keepIf keeps the tokens whose score is wanted.
func (s *Sampler) keepIf(wanted func(score float64) bool) {
	kept := 0
	for i, score := range s.scores {
		if wanted(score) {
			s.ids[kept], s.scores[kept] = s.ids[i], score
			kept++
		}
	}
	s.ids, s.scores = s.ids[:kept], s.scores[:kept]
}

// keepAll fills ids with all tokens.
func (s *Sampler) keepAll(logits []float32) {
	for id := range logits {
		s.ids = append(s.ids, int32(id))
	}
}

// keepReaching fills ids with the tokens whose logits are at least the threshold.
func (s *Sampler) keepReaching(logits []float32, threshold float32) {
	space := kernels.CollectSpace(len(logits))
	s.ids = slices.Grow(s.ids[:0], space)[:space]
	s.ids = s.ids[:s.kernels.Collect(s.ids, logits, threshold)]
}

// collectTop fills ids and values with a few more than the k best tokens, which spares the others a closer look.
func (s *Sampler) collectTop(logits []float32, k int) {
	s.keepReaching(logits, s.kernels.Threshold(logits, k))
	s.values = slices.Grow(s.values[:0], len(s.ids))[:len(s.ids)]
	for i, id := range s.ids {
		s.values[i] = logits[id]
	}
}
