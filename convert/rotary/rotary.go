// Package rotary computes the frequencies of rotary embeddings, in arithmetic that gives the same bits on all machines:
// float64 whose products are rounded before they are added, and logarithms and powers of its own.
//
// Start reading at Parameters; precise.go has the logarithms.
package rotary

import "math"

// Type is a way to scale frequencies for contexts longer than those of the training, by transformers' names.
type Type string

const (
	Default  Type = "default"  // not at all
	Linear   Type = "linear"   // all by the same factor: S. Chen et al., "Extending Context Window of Large Language Models via Positional Interpolation" (2023)
	Llama3   Type = "llama3"   // low ones by a factor, high ones not: A. Grattafiori et al., "The Llama 3 Herd of Models" (2024)
	YaRN     Type = "yarn"     // B. Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models" (2023)
	LongRoPE Type = "longrope" // by factors found for each: Y. Ding et al., "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens" (2024)
)

// Parameters say what the frequencies are. Those after Width belong to some types only.
type Parameters struct {
	Type  Type
	Base  float64
	Width int // dimensions that are turned, twice the number of frequencies

	Factor          float64 // of all types but Default: how much longer contexts become
	OriginalContext int     // of Llama3, YaRN and LongRoPE: positions of the training

	LowFactor, HighFactor float64 // of Llama3: wavelengths in the original context, from which to which the scaling fades

	// Of YaRN.
	BetaFast, BetaSlow   float64 // turns in the original context, between which the scaling fades
	Truncate             bool    // to whole dimensions
	MScale, MScaleAllDim float64 // 0: not given

	Short, Long []float64 // of LongRoPE: divisors of the frequencies

	Attention float64 // of YaRN and LongRoPE: the scale of cosines and sines; 0: what follows from the others
}

// plain returns the frequency of pair i before it is scaled.
func (p Parameters) plain(i int) float64 { return 1 / pow(p.Base, 2*i, p.Width) }

// Frequencies returns how far each pair of dimensions turns from one position to the next, in radians, and, of LongRoPE, how
// far in long contexts.
func (p Parameters) Frequencies() (frequencies, long []float32) {
	scaled := map[Type]func(i int) float64{
		Default:  p.plain,
		Linear:   func(i int) float64 { return p.plain(i) / p.Factor },
		Llama3:   p.llama3,
		YaRN:     p.yarn,
		LongRoPE: func(i int) float64 { return p.plain(i) / p.Short[i] },
	}[p.Type]
	for i := range p.Width / 2 {
		frequencies = append(frequencies, float32(scaled(i)))
		if p.Type == LongRoPE {
			long = append(long, float32(p.plain(i)/p.Long[i]))
		}
	}
	return frequencies, long
}

func (p Parameters) llama3(i int) float64 {
	plain, context := p.plain(i), float64(p.OriginalContext)
	wavelength := 2 * math.Pi / plain
	switch {
	case wavelength > context/p.LowFactor:
		return plain / p.Factor
	case wavelength < context/p.HighFactor:
		return plain
	}
	smooth := (context/wavelength - p.LowFactor) / (p.HighFactor - p.LowFactor)
	return float64((1-smooth)*(plain/p.Factor)) + float64(smooth*plain)
}

func (p Parameters) yarn(i int) float64 {
	low, high := p.dimension(p.BetaFast), p.dimension(p.BetaSlow)
	if p.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(p.Width-1))
	if low == high {
		high += 0.001
	}
	ramp := min(max((float64(i)-low)/(high-low), 0), 1)
	plain := p.plain(i)
	return float64(plain/p.Factor*ramp) + float64(plain*(1-ramp))
}

// dimension returns which pair, counted with a fraction, turns so many times in the original context.
func (p Parameters) dimension(turns float64) float64 {
	return float64(p.Width) * ln(float64(p.OriginalContext)/(turns*2*math.Pi)) / (2 * ln(p.Base))
}

// Scale returns what cosines and sines are multiplied by.
func (p Parameters) Scale() float64 {
	switch {
	case p.Attention != 0:
		return p.Attention
	case p.Type == LongRoPE && p.Factor > 1:
		return math.Sqrt(1 + ln(p.Factor)/ln(float64(p.OriginalContext)))
	case p.Type == YaRN && p.MScale != 0 && p.MScaleAllDim != 0:
		return p.mscale(p.MScale) / p.mscale(p.MScaleAllDim)
	case p.Type == YaRN:
		return p.mscale(1)
	}
	return 1
}

func (p Parameters) mscale(mscale float64) float64 {
	if p.Factor <= 1 {
		return 1
	}
	return float64(float64(0.1*mscale)*ln(p.Factor)) + 1
}
