// Package bench measures what speculation gains on this machine: the same texts with and without
// drafts, in one process, in turns. A text must be the same however it came about, which is checked.
//
// It never measures texts apart from their baseline: a gain is the ratio of two times taken one
// after the other, and medians are reported. Start reading at Measure.
package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/bench/statistics"
	"github.com/tti-llm/tti/spec"
)

var (
	// ErrText is returned where a draft has changed a text.
	ErrText = errors.New("the draft changed the text")
	// ErrShort is returned where there is nothing to time.
	ErrShort = errors.New("a text has less than two tokens")
)

// Options are the choices of Measure.
type Options struct {
	Prompts  [][]int32
	Tokens   int // of every text, 128 if 0
	Sampling runtime.Sampling
	Lengths  []int                   // of drafts, 2, 4 and 6 if nil; the adaptive length always comes last
	Repeats  int                     // how often every text is written in each way; 3 if 0
	NoCosts  bool                    // leaves Costs and Theory out
	Progress func(done, total int64) // told of texts written, if not nil
}

// Result is what Measure finds.
type Result struct {
	Rows  []Row `json:"rows"` // the baseline first, the adaptive length last
	Costs Costs `json:"costs"`
	// Theory is the largest gain that a fixed length gives by the costs, at the acceptance rate of the
	// adaptive one.
	Theory float64 `json:"theory"`
}

// Row is one way to write the texts. Figures are medians over all texts and repeats, but for the
// rates of acceptance and passes, which are means.
type Row struct {
	Name           string  `json:"name"`   // "baseline", "k = 4", "adaptive"
	Length         int     `json:"length"` // of the drafts, -1 for the baseline, 0 for the adaptive one
	Rate           float64 `json:"tok_s"`  // tokens a second, the first of a text and the prompt left out
	RateLow        float64 `json:"tok_s_lower_quartile"`
	RateHigh       float64 `json:"tok_s_upper_quartile"`
	Speedup        float64 `json:"speedup"`
	Acceptance     float64 `json:"acceptance"`
	MeanAccepted   float64 `json:"mean_accepted_length"`
	PassesPerToken float64 `json:"target_passes_per_token"`
}

// way is a row in the making.
type way struct {
	row     Row
	decoder *spec.Decoder // nil for the baseline
	rates   []float64
	gains   []float64
	counts  spec.Statistics
}

// Measure writes every text in every way, in turns. Every way but the baseline has drafters of its
// own, which makeDrafters returns. The first round warms up and does not count.
func Measure(ctx context.Context, target *runtime.Model, makeDrafters func() ([]spec.Drafter, error), o Options) (Result, error) {
	o.Tokens, o.Repeats = defaults(o.Tokens, 128), defaults(o.Repeats, 3)
	if o.Lengths == nil {
		o.Lengths = []int{2, 4, 6}
	}
	ways := []*way{{row: Row{Name: "baseline", Length: -1}}}
	for _, length := range append(slices.Clone(o.Lengths), 0) {
		drafters, err := makeDrafters()
		if err != nil {
			return Result{}, err
		}
		w := &way{row: Row{Name: fmt.Sprintf("k = %d", length), Length: length}}
		if length == 0 {
			w.row.Name = "adaptive"
		}
		w.decoder = spec.New(target, drafters...)
		defer w.decoder.Close()
		w.decoder.Length = length
		ways = append(ways, w)
	}
	done, total := int64(0), int64((o.Repeats+1)*len(o.Prompts)*len(ways))
	for round := range o.Repeats + 1 {
		for i, prompt := range o.Prompts {
			var plain text
			for j := range ways {
				w := ways[0]
				if j > 0 { // whose turn it is first changes
					w = ways[1+(j+i+round)%(len(ways)-1)]
				}
				written, err := w.write(ctx, target, prompt, o)
				if err != nil {
					return Result{}, err
				}
				if j == 0 {
					plain = written
				} else if !slices.Equal(written.tokens, plain.tokens) {
					return Result{}, fmt.Errorf("%s, prompt %d: %w", w.row.Name, i+1, ErrText)
				}
				if round > 0 {
					w.count(written, plain)
				}
				if done++; o.Progress != nil {
					o.Progress(done, total)
				}
			}
		}
	}
	var result Result
	for _, w := range ways {
		result.Rows = append(result.Rows, w.result())
	}
	if o.NoCosts {
		return result, nil
	}
	drafters, err := makeDrafters()
	if err != nil {
		return Result{}, err
	}
	if result.Costs, err = MeasureCosts(ctx, target, drafters[len(drafters)-1], o.Prompts[0], o.Sampling); err != nil {
		return Result{}, err
	}
	result.Theory, _ = result.Costs.Best(result.Rows[len(result.Rows)-1].Acceptance)
	return result, nil
}

func defaults(value, otherwise int) int {
	if value == 0 {
		return otherwise
	}
	return value
}

// text is one text as it was written.
type text struct {
	tokens  []int32
	seconds float64 // for all but the first token
	counts  spec.Statistics
}

func (w *way) write(ctx context.Context, target *runtime.Model, prompt []int32, o Options) (text, error) {
	var t text
	var outcome runtime.Outcome
	options := []runtime.GenerateOption{runtime.MaxTokens(o.Tokens), runtime.IgnoreEOS(), runtime.Report(&outcome)}
	if w.decoder == nil {
		for token, err := range target.Generate(ctx, prompt, o.Sampling, options...) {
			if err != nil {
				return text{}, err
			}
			t.tokens = append(t.tokens, token.ID)
		}
	} else {
		for token, err := range w.decoder.Generate(ctx, prompt, o.Sampling, options...) {
			if err != nil {
				return text{}, err
			}
			t.tokens = append(t.tokens, token.ID)
		}
		t.counts = w.decoder.Statistics()
		if t.counts.DraftError != nil {
			return text{}, t.counts.DraftError
		}
	}
	t.seconds = outcome.Decode.Seconds()
	if len(t.tokens) < 2 {
		return text{}, fmt.Errorf("%w, after a prompt of %d", ErrShort, len(prompt))
	}
	return t, nil
}

func (w *way) count(t, plain text) {
	w.rates = append(w.rates, float64(len(t.tokens)-1)/t.seconds)
	w.gains = append(w.gains, plain.seconds/t.seconds)
	w.counts.Tokens += t.counts.Tokens
	w.counts.TargetPasses += t.counts.TargetPasses
	w.counts.Drafts += t.counts.Drafts
	w.counts.Accepted += t.counts.Accepted
	w.counts.Rejected += t.counts.Rejected
}

func (w *way) result() Row {
	r := w.row
	r.Rate, r.RateLow, r.RateHigh = statistics.Median(w.rates), statistics.Quantile(w.rates, 0.25), statistics.Quantile(w.rates, 0.75)
	r.Speedup = statistics.Median(w.gains)
	r.Acceptance, r.MeanAccepted, r.PassesPerToken = w.counts.AcceptanceRate(), w.counts.MeanAcceptedLength(), w.counts.PassesPerToken()
	if w.decoder == nil {
		r.PassesPerToken = 1
	}
	return r
}
