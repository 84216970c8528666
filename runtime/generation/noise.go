package generation

import (
	"math"
	"math/bits"

	"github.com/tti-llm/tti/kernels"
)

// noise is Gumbel noise for the tokens of one position: a pure function of (seed, position, token),
// so that a draft model that draws with the same noise often draws the same token. Adding it to the
// logits and taking the maximum draws from their softmax: E. J. Gumbel, "Statistical Theory of
// Extreme Values" (1954); the generator is a counter hashed with the finalizer of SplitMix64 in
// D. Stafford's variant 13.
type noise struct{ key uint64 }

func newNoise(seed uint64, position int) noise {
	return noise{key: mix(mix(seed+0x9e3779b97f4a7c15) + uint64(position))}
}

// mix is a bijection in which every input bit changes every output bit with probability 1/2.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (n noise) random(token int32) uint64 {
	return mix(n.key + (uint64(token)+1)*0x9e3779b97f4a7c15)
}

// gumbel returns -log(-log u) for u uniform in (0, 1).
func gumbel(random uint64) float64 {
	u := (float64(random>>12) + 0.5) * 0x1p-52
	return -kernels.Log(-kernels.Log(u))
}

// gumbelBound returns something that gumbel(random) never exceeds, at the cost of counting bits:
// -log u >= 1-u, so -log(-log u) <= -log(1-u), and 1-u has as many leading zeros as random has
// leading ones. The slack covers all rounding.
func gumbelBound(random uint64) float64 {
	ones := min(bits.LeadingZeros64(^random), 52)
	return float64(float64(ones+1)*math.Ln2) + 1e-6
}
