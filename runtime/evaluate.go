package runtime

import (
	"context"
	"fmt"
	"math"
)

// Score is how well a model predicts a text.
type Score struct {
	Tokens     int     `json:"tokens"` // of the text
	Scored     int     `json:"scored"` // all but the first of each window
	NLL        float64 `json:"nll"`    // mean negative log-likelihood of the scored tokens, in nats
	Perplexity float64 `json:"perplexity"`
}

// Evaluate scores the tokens of a text: they are cut into consecutive windows of the model's
// context, each of which starts afresh at position 0; a window's first token is not scored and no
// token is put in front. progress, if not nil, is told how many tokens are through.
func (m *Model) Evaluate(ctx context.Context, ids []int32, progress func(done, total int)) (Score, error) {
	score := Score{Tokens: len(ids)}
	sum := 0.0
	err := m.predictions(ctx, ids, progress, func(logits []float32, next int32) error {
		sum -= logProbability(logits, next)
		score.Scored++
		return nil
	})
	if err != nil {
		return Score{}, err
	}
	if score.Scored == 0 {
		return Score{}, fmt.Errorf("%w: %d tokens leave nothing to score", ErrEmpty, len(ids))
	}
	score.NLL = sum / float64(score.Scored)
	score.Perplexity = math.Exp(score.NLL)
	if math.IsNaN(score.NLL) {
		return Score{}, ErrNotANumber
	}
	return score, nil
}

// predictions calls visit with the logits that precede each scored token, and that token.
func (m *Model) predictions(ctx context.Context, ids []int32, progress func(done, total int), visit func(logits []float32, next int32) error) error {
	s, err := m.NewSession()
	if err != nil {
		return err
	}
	for start := 0; start < len(ids); start += m.shape.Context {
		window := ids[start:min(start+m.shape.Context, len(ids))]
		s.Truncate(0)
		for from := 0; from < len(window)-1; from += chunkTokens {
			if err := ctx.Err(); err != nil {
				return err
			}
			chunk := window[from:min(from+chunkTokens, len(window)-1)]
			all, err := s.AppendAll(chunk)
			if err != nil {
				return err
			}
			for i, logits := range all {
				if err := visit(logits, window[from+i+1]); err != nil {
					return err
				}
			}
			if progress != nil {
				progress(start+from+len(chunk), len(ids))
			}
		}
	}
	return nil
}

// logProbability returns the logarithm of a token's softmax probability.
func logProbability(logits []float32, id int32) float64 {
	return float64(logits[id]) - logSumExp(logits)
}

// logSumExp returns log(sum of e^logit) in float64.
func logSumExp(logits []float32) float64 {
	highest := math.Inf(-1)
	for _, v := range logits {
		highest = max(highest, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - highest)
	}
	return highest + math.Log(sum)
}
