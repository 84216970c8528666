package generation

import "slices"

// adjust returns the logits after bias, mask and penalties, in memory of the sampler if these change any.
func (s *Sampler) adjust(logits []float32, preceding []int32) []float32 {
	generated := preceding[min(s.rules.Prompt, len(preceding)):]
	withoutEnds := len(generated) < s.rules.MinTokens && len(s.rules.Ends) > 0
	repetition := float32(s.RepetitionPenalty)
	penalizesRepetition := repetition != 0 && repetition != 1
	penalizesOccurrence := s.PresencePenalty != 0 || s.FrequencyPenalty != 0
	var mask Mask
	if s.rules.Allowed != nil {
		mask = s.rules.Allowed(generated)
	}
	if len(s.LogitBias) == 0 && mask == nil && !withoutEnds && !penalizesRepetition && !penalizesOccurrence {
		return logits
	}
	s.logits = append(s.logits[:0], logits...)
	for id, bias := range s.LogitBias {
		if int(id) < len(logits) { // a draft model may lack the token
			s.logits[id] += bias
		}
	}
	s.forbid(s.logits, mask, withoutEnds)
	if penalizesRepetition {
		s.penalizeRepetition(repetition, preceding)
	}
	if penalizesOccurrence {
		s.penalizeOccurrence(generated)
	}
	return s.logits
}

// penalizeRepetition applies the repetition penalty to the logits of all tokens that precede.
func (s *Sampler) penalizeRepetition(penalty float32, preceding []int32) {
	words := (len(s.logits) + 63) / 64
	s.seen = slices.Grow(s.seen[:0], words)[:words]
	clear(s.seen)
	for _, id := range preceding {
		if word, bit := id/64, uint64(1)<<(id%64); s.seen[word]&bit == 0 {
			s.seen[word] |= bit
			if s.logits[id] > 0 {
				s.logits[id] /= penalty
			} else {
				s.logits[id] *= penalty
			}
		}
	}
}

// penalizeOccurrence subtracts the frequency penalty for every occurrence of a token and the presence penalty for the first.
func (s *Sampler) penalizeOccurrence(generated []int32) {
	if missing := len(s.logits) - len(s.counts); missing > 0 {
		s.counts = append(s.counts, make([]int32, missing)...)
	}
	for _, id := range generated {
		s.counts[id]++
	}
	frequency, presence := float32(s.FrequencyPenalty), float32(s.PresencePenalty)
	for _, id := range generated {
		if count := s.counts[id]; count > 0 {
			s.logits[id] -= float32(frequency * float32(count))
			s.logits[id] -= presence
			s.counts[id] = 0
		}
	}
}
