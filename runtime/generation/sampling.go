package generation

import (
	"errors"
	"fmt"
	"math"
)

// ErrOption is returned for an option that makes no sense.
var ErrOption = errors.New("invalid option")

// ErrNotANumber is returned where the model's logits hold a NaN: its weights or its file are bad.
var ErrNotANumber = errors.New("the model produced logits that are not a number")

// Sampling says how tokens are drawn. The zero value is greedy: the token with the largest logit,
// ties to the lower id.
//
// A draw is a pure function of the logits, the preceding tokens, these settings, the text's [Rules] and the position.
// In this order: logit bias, mask of allowed tokens, repetition, frequency and presence penalty, temperature, top-k, top-p,
// min-p, then one draw from the softmax of what is left by the maximum of logit plus Gumbel noise.
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
	// FrequencyPenalty is subtracted from a token's logit once for every time it was generated, and PresencePenalty once if
	// it was at all, as OpenAI's interface defines them; negative ones favour such tokens. The prompt does not count.
	FrequencyPenalty, PresencePenalty float64
	// LogitBias is added to the logits of some tokens.
	LogitBias map[int32]float32
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
		{"frequency penalty", s.FrequencyPenalty, isFinite(s.FrequencyPenalty)},
		{"presence penalty", s.PresencePenalty, isFinite(s.PresencePenalty)},
		{"repetition penalty", s.RepetitionPenalty, s.RepetitionPenalty == 0 || isNormal(float32(s.RepetitionPenalty))},
	} {
		if !check.valid {
			return fmt.Errorf("%w: %s %v", ErrOption, check.name, check.value)
		}
	}
	for id, bias := range s.LogitBias {
		if id < 0 || !isFinite(float64(bias)) {
			return fmt.Errorf("%w: logit bias %v of token %d", ErrOption, bias, id)
		}
	}
	return nil
}

// isFinite reports whether x is a number that a float32 can hold.
func isFinite(x float64) bool { return math.Abs(x) <= math.MaxFloat32 }

// isNormal reports whether x is positive and can be divided and multiplied by at full precision.
func isNormal(x float32) bool { return x >= 0x1p-126 && x <= math.MaxFloat32 }
