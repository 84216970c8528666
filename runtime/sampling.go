package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tti-llm/tti/kernels"
)

// ErrNotANumber is returned where the model's logits hold a NaN: its weights or its file are bad.
var ErrNotANumber = errors.New("the model produced logits that are not a number")

// Sampling says how tokens are drawn. The zero value is greedy: the token with the largest logit,
// ties to the lower id.
//
// A draw is a pure function of the logits, the preceding tokens, these settings and the position.
// In this order: repetition penalty, temperature, top-k, top-p, min-p, then one draw from the softmax
// of what is left by the maximum of logit plus Gumbel noise.
type Sampling struct {
	// Temperature divides the logits; 0 is greedy, whatever the filters say.
	Temperature float64
	// TopK keeps the k largest logits, ties to the lower id; 0 keeps all.
	TopK int
	// TopP keeps the smallest set of most probable tokens whose probabilities reach p in sum
	// (A. Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020); 0 and 1 keep all.
	TopP float64
	// MinP keeps the tokens at least p times as probable as the most probable one (M. Nguyen et
	// al., "Turning Up the Heat: Min-p Sampling", 2024); 0 keeps all.
	MinP float64
	// RepetitionPenalty divides the positive and multiplies the negative logits of every token of
	// prompt and output (N. S. Keskar et al., "CTRL", 2019), as HuggingFace does; 0 and 1 mean none.
	RepetitionPenalty float64
	// Seed chooses the noise.
	Seed uint64
}

// Validate returns an ErrOption that names the first setting out of range.
func (s Sampling) Validate() error {
	for _, check := range []struct {
		name  string
		value float64
		valid bool
	}{
		{"temperature", s.Temperature, s.Temperature >= 0 && !math.IsInf(s.Temperature, 0)},
		{"top-k", float64(s.TopK), s.TopK >= 0},
		{"top-p", s.TopP, s.TopP >= 0 && s.TopP <= 1},
		{"min-p", s.MinP, s.MinP >= 0 && s.MinP <= 1},
		{"repetition penalty", s.RepetitionPenalty, s.RepetitionPenalty >= 0 && !math.IsInf(s.RepetitionPenalty, 0)},
	} {
		if !check.valid {
			return fmt.Errorf("%w: %s %v", ErrOption, check.name, check.value)
		}
	}
	return nil
}

// Sampler draws tokens by one Sampling. It keeps memory between draws, never state: drawing again
// with the same arguments gives the same token. It is not safe for concurrent use.
type Sampler struct {
	Sampling
	kernels *kernels.Set
	logits  []float32 // a copy, where the repetition penalty changes some
	ids     []int32   // of the tokens that may pass the filters, or passed them so far
	values  []float32 // their logits, where top-k is the only one
	scores  []float64 // logit / temperature, less the highest of all, otherwise
	edge    []edge    // of the nucleus
	heap    []rank
	seen    []uint64 // bit set of tokens, for the penalty
}

// edge is a token that may be in the nucleus or not.
type edge struct {
	rank
	score float64
}

// NewSampler returns a Sampler for the settings, which must be valid.
func NewSampler(s Sampling) (*Sampler, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	set, err := kernels.FromEnvironment()
	if err != nil {
		return nil, err
	}
	return &Sampler{Sampling: s, kernels: set}, nil
}

// Draw returns the token that follows the preceding ones, prompt included, whose last one gave
// these logits. It fails with ErrNotANumber.
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
	logits = s.penalize(logits, preceding)
	best, nan := s.kernels.ArgMax(logits)
	if nan {
		return 0, 0, ErrNotANumber
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

// penalize returns the logits after the repetition penalty, in memory of the sampler if it changes
// any.
func (s *Sampler) penalize(logits []float32, preceding []int32) []float32 {
	penalty := float32(s.RepetitionPenalty)
	if penalty == 0 || penalty == 1 {
		return logits
	}
	s.logits = append(s.logits[:0], logits...)
	words := (len(logits) + 63) / 64
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
	return s.logits
}

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

// rank orders tokens by logit, ties to the lower id: the better one is the larger number. It holds
// the bits of the logit, changed such that they compare as numbers, and those of the id, inverted.
type rank uint64

func rankOf(id int32, logit float32) rank {
	bits := math.Float32bits(logit + 0)     // which makes -0 the zero that it equals
	bits ^= uint32(int32(bits)>>31) | 1<<31 // all bits of a negative number, the sign of another
	return rank(bits)<<32 | rank(^uint32(id))
}

func (r rank) id() int32 { return int32(^uint32(r)) }

// keepAll fills ids with all tokens.
func (s *Sampler) keepAll(logits []float32) {
	for id := range logits {
		s.ids = append(s.ids, int32(id))
	}
}

// keepTop fills ids with the k best tokens.
func (s *Sampler) keepTop(logits []float32, k int) {
	if k > kernels.MaxThreshold {
		s.keepAll(logits)
	} else {
		s.keepReaching(logits, s.kernels.Threshold(logits, k))
	}
	if len(s.ids) > k {
		s.keepBest(logits, k)
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

// keepBest keeps the k best of ids, which ascend. It goes through them once and keeps the best so far in a
// heap, the worst of them first.
func (s *Sampler) keepBest(logits []float32, k int) {
	heap := s.heap[:0]
	for _, id := range s.ids[:k] {
		heap = append(heap, rankOf(id, logits[id]))
	}
	for i := k/2 - 1; i >= 0; i-- {
		sink(heap, i)
	}
	worst := logits[heap[0].id()]
	for _, id := range s.ids[k:] {
		if logit := logits[id]; logit > worst { // later ids lose ties
			heap[0] = rankOf(id, logit)
			sink(heap, 0)
			worst = logits[heap[0].id()]
		}
	}
	for i, r := range heap {
		s.ids[i] = r.id()
	}
	s.ids, s.heap = s.ids[:k], heap
}

// sink restores the order of a heap whose element i may be too good for its place.
func sink(heap []rank, i int) {
	moving := heap[i]
	for {
		child := 2*i + 1
		if child >= len(heap) {
			break
		}
		if next := child + 1; next < len(heap) && heap[next] < heap[child] {
			child = next
		}
		if heap[child] > moving {
			break
		}
		heap[i] = heap[child]
		i = child
	}
	heap[i] = moving
}

const (
	// probabilityUnit is the unit of probabilities that are counted in whole numbers, so that their sum
	// is exact and has no order. The sum of all tokens' is exact as a float64 too.
	probabilityUnit = 1.0 / (1 << 36)
	// scoreBuckets are ranges of scores, each of the width 1/bucketsPerUnit but for the last.
	scoreBuckets   = 128
	bucketsPerUnit = 8
)

// powers is how many powers of 2 from 1 to 2, evenly spaced, probability looks up.
const (
	powerBits = 5
	powers    = 1 << powerBits
)

// power holds 2^(i/powers), made of square roots, which are exactly rounded everywhere.
var power = func() (power [powers]float64) {
	for i := range power {
		power[i] = 1
		root := 2.0
		for bit := powers / 2; bit > 0; bit /= 2 {
			if root = math.Sqrt(root); i&bit != 0 {
				power[i] = float64(power[i] * root)
			}
		}
	}
	return power
}()

// probability returns e^score in whole units, with an error below 1e-8 of it. Scores are at most 0.
// It is a power of 2 times the Taylor polynomial of what is left, at most 2^(1/64).
func probability(score float64) uint64 {
	exponent := float64(score * (powers * math.Log2E))
	if !(exponent > -40*powers) {
		return 0
	}
	n := int(exponent - 0.5) // the nearest integer: conversion cuts towards zero
	x := float64((exponent - float64(n)) * (math.Ln2 / powers))
	sum := 1 + float64(x*(1+float64(float64(x*(1.0/2))*(1+float64(x*(1.0/3))))))
	// By way of int64, which processors convert to themselves.
	return uint64(int64(float64(power[n&(powers-1)]*sum)*(1/probabilityUnit))) >> (uint(-(n >> powerBits)) & 63)
}

// bucketOf returns the range that a score is in. The last one is for all that are lower, and for NaN,
// which infinite logits give.
func bucketOf(score float64) int {
	if distance := -score * bucketsPerUnit; distance < scoreBuckets-1 {
		return int(distance)
	}
	return scoreBuckets - 1
}

// keepNucleus keeps the smallest set of most probable tokens that reaches the share TopP of all. Only
// those in the range of scores where that happens need sorting.
func (s *Sampler) keepNucleus(logits []float32) {
	var sums [scoreBuckets]uint64
	total := uint64(0)
	for _, score := range s.scores {
		p := probability(score)
		sums[bucketOf(score)] += p
		total += p
	}
	enough := func(sum uint64) bool { return float64(sum) >= float64(s.TopP*float64(total)) }
	reached, last := uint64(0), 0
	for ; !enough(reached + sums[last]); last++ {
		reached += sums[last]
	}
	s.keepIf(func(score float64) bool { return bucketOf(score) <= last })
	s.edge = s.edge[:0]
	for i, score := range s.scores {
		if bucketOf(score) == last {
			s.edge = append(s.edge, edge{rankOf(s.ids[i], logits[s.ids[i]]), score})
		}
	}
	slices.SortFunc(s.edge, func(a, b edge) int { return cmp.Compare(b.rank, a.rank) })
	s.keepIf(func(score float64) bool { return bucketOf(score) < last })
	for i := 0; i < len(s.edge) && !enough(reached); i++ {
		reached += probability(s.edge[i].score)
		s.ids = append(s.ids, s.edge[i].id())
		s.scores = append(s.scores, s.edge[i].score)
	}
}

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
		if bound+gumbelBound(random) < c.threshold || id == c.best {
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
