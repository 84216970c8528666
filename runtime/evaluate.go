package runtime

import (
	"context"
	"fmt"
	"math"

	"github.com/tti-llm/tti/runtime/forward"
)

// Score is how well a model predicts a text.
type Score struct {
	Tokens     int     `json:"tokens"` // of the text
	Scored     int     `json:"scored"` // all but the first of each window
	NLL        float64 `json:"nll"`    // mean negative log-likelihood of the scored tokens, in nats
	Perplexity float64 `json:"perplexity"`
}

// EvaluationWindow is the most of a text, in tokens, that is scored in one piece where nobody asks for more.
const EvaluationWindow = 2048

// Evaluate scores the tokens of a text: they are cut into consecutive windows of the model's
// context, at most EvaluationWindow long unless WithContext has asked for more, each of which starts afresh at position 0; a window's first token is not scored and no
// token is put in front. progress, if not nil, is told how many tokens are through.
func (m *Model) Evaluate(ctx context.Context, ids []int32, progress func(done, total int)) (Score, error) {
	scored, sum := 0, 0.0
	err := predictions(ctx, []*Model{m}, ids, progress, func(position int, logits [][]float32) {
		sum -= logProbability(logits[0], ids[position])
		scored++
	})
	if err != nil {
		return Score{}, err
	}
	return m.score(len(ids), scored, sum)
}

// score returns the model's score of a text from the sum of its negative log-likelihoods.
func (m *Model) score(tokens, scored int, sum float64) (Score, error) {
	if scored == 0 {
		return Score{}, fmt.Errorf("%w: %d tokens leave nothing to score", ErrEmpty, tokens)
	}
	nll := sum / float64(scored)
	if math.IsNaN(nll) {
		return Score{}, fmt.Errorf("%s: %w", m.file.Path(), ErrNotANumber)
	}
	return Score{Tokens: tokens, Scored: scored, NLL: nll, Perplexity: math.Exp(nll)}, nil
}

// predictions runs the tokens of a text through models that have the same context, and calls visit
// for the position of each scored token with every model's logits there.
func predictions(ctx context.Context, models []*Model, ids []int32, progress func(done, total int), visit func(position int, logits [][]float32)) error {
	sessions := make([]*Session, len(models))
	for i, m := range models {
		sessions[i] = m.NewSession()
		defer sessions[i].Close()
	}
	window := models[0].window
	for _, m := range models {
		window = min(window, m.window)
	}
	chunks, logits := make([][][]float32, len(models)), make([][]float32, len(models))
	for start := 0; start < len(ids); start += window {
		end := min(start+window, len(ids)) - 1 // the last token of a window is scored, but predicts nothing
		for _, s := range sessions {
			s.Truncate(0)
		}
		for from := start; from < end; from += forward.MaxRows {
			to := min(from+forward.MaxRows, end)
			for i, s := range sessions {
				var err error
				if chunks[i], err = s.AppendAllContext(ctx, ids[from:to]); err != nil {
					return err
				}
			}
			for t := range to - from {
				for i := range chunks {
					logits[i] = chunks[i][t]
				}
				visit(from+t+1, logits)
			}
			if progress != nil {
				progress(to, len(ids))
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
