package runtime

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// Comparison is how far a model's predictions of a text are from those of a reference, mostly the
// same model with weights that are not quantized.
type Comparison struct {
	Reference Score `json:"reference"`
	Model     Score `json:"model"`

	// Rise is what the model's perplexity is above the reference's, as a part of the latter.
	Rise float64 `json:"rise"`
	// Divergence is the mean Kullback-Leibler divergence of the distributions of the next token, in
	// nats: of the reference's from the model's, the information that is lost.
	Divergence float64 `json:"kl_divergence"`
	// Agreement is the part of scored tokens at which both find the same token most likely. Of
	// equally likely ones the lower id counts.
	Agreement float64 `json:"top1_agreement"`
	// Worst are the scored tokens with the largest divergence, the largest first.
	Worst []Deviation `json:"worst"`
}

// Deviation is one scored token of a comparison.
type Deviation struct {
	Position   int     `json:"position"`      // in the text, counted in tokens
	Token      int32   `json:"token"`         // what the text has there
	Divergence float64 `json:"kl_divergence"` // of the distributions there, in nats
	// What each model gives the text's token, and what each finds most likely.
	ReferenceProbability float64 `json:"reference_probability"`
	ModelProbability     float64 `json:"model_probability"`
	ReferenceBest        int32   `json:"reference_best"`
	ModelBest            int32   `json:"model_best"`
}

// Compare scores both models on the tokens of a text, as Evaluate does, and compares their
// predictions token by token; worst is how many single tokens are wanted. The models must have the
// same tokens, merges and number of positions, else the error is ErrMismatch. progress is as for Evaluate.
func Compare(ctx context.Context, reference, model *Model, ids []int32, worst int, progress func(done, total int)) (Comparison, error) {
	same, err := reference.tokenizer.Same(model.tokenizer)
	if err != nil {
		return Comparison{}, err
	}
	if !same {
		return Comparison{}, fmt.Errorf("%w: they have other tokens or merges", ErrMismatch)
	}
	if a, b := reference.shape, model.shape; a.Vocabulary != b.Vocabulary || a.Context != b.Context {
		return Comparison{}, fmt.Errorf("%w: %d tokens and %d positions, %d and %d", ErrMismatch, a.Vocabulary, a.Context, b.Vocabulary, b.Context)
	}
	var all []Deviation
	var sums struct{ reference, model, divergence, agreement float64 }
	err = predictions(ctx, []*Model{reference, model}, ids, progress, func(position int, logits [][]float32) {
		d := deviation(logits[0], logits[1], ids[position])
		d.Position = position
		sums.reference -= logProbability(logits[0], d.Token)
		sums.model -= logProbability(logits[1], d.Token)
		sums.divergence += d.Divergence
		if d.ReferenceBest == d.ModelBest {
			sums.agreement++
		}
		all = append(all, d)
	})
	if err != nil {
		return Comparison{}, err
	}
	var c Comparison
	if c.Reference, err = reference.score(len(ids), len(all), sums.reference); err != nil {
		return Comparison{}, err
	}
	if c.Model, err = model.score(len(ids), len(all), sums.model); err != nil {
		return Comparison{}, err
	}
	count := float64(len(all))
	c.Rise = c.Model.Perplexity/c.Reference.Perplexity - 1
	c.Divergence, c.Agreement = sums.divergence/count, sums.agreement/count
	slices.SortStableFunc(all, func(a, b Deviation) int { return cmp.Compare(b.Divergence, a.Divergence) })
	c.Worst = slices.Clone(all[:min(max(worst, 0), len(all))])
	return c, nil
}

// deviation compares two models' logits where the text has the given token.
func deviation(reference, model []float32, token int32) Deviation {
	referenceSum, modelSum := logSumExp(reference), logSumExp(model)
	d := Deviation{
		Token:                token,
		ReferenceProbability: math.Exp(float64(reference[token]) - referenceSum),
		ModelProbability:     math.Exp(float64(model[token]) - modelSum),
	}
	for id := range reference {
		r := float64(reference[id]) - referenceSum
		if probability := math.Exp(r); probability > 0 { // what cannot come loses nothing
			d.Divergence += probability * (r - (float64(model[id]) - modelSum))
		}
		if reference[id] > reference[d.ReferenceBest] {
			d.ReferenceBest = int32(id)
		}
		if model[id] > model[d.ModelBest] {
			d.ModelBest = int32(id)
		}
	}
	return d
}
