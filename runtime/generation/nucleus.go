package generation

import (
	"cmp"
	"math"
	"slices"
)

// edge is a token that may be in the nucleus or not.
type edge struct {
	rank
	score float64
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
