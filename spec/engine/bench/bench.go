// Package bench measures many texts at once on this machine: how many tokens they make together, how long the first of each
// takes and how long the gaps between them are, as a client sees it, beside the rate of single passes over as many tokens,
// which no scheduler can exceed.
//
// Every measurement has an engine of its own; rounds take all measurements in turns, so that a slow moment of the machine
// spoils at most one of each. Start reading at Measure.
package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// Options are the choices of Measure.
type Options struct {
	Texts    []int                   // numbers of texts at once; nil: 1, 4, 16 and 32
	Prompt   int                     // tokens of each prompt; 0: 64
	Tokens   int                     // that are generated for each, at the least; 0: 128. See Row.Tokens
	Repeats  int                     // rounds; 0: 3. One before them warms up
	Progress func(done, total int64) // told of measurements made, if not nil
}

// Result is what Measure finds.
type Result struct {
	Prompt int   `json:"prompt"` // tokens of each prompt
	Tokens int   `json:"tokens"` // generated for each, at the least
	Rows   []Row `json:"rows"`
}

// Row is one number of texts. Figures are of all rounds together, rates are medians.
type Row struct {
	Texts   int  `json:"texts"`
	Shared  bool `json:"shared"`   // all prompts begin with three quarters that were run before
	Cached  int  `json:"cached"`   // tokens of a prompt that were found in the prefix cache, on average
	Tokens  int  `json:"tokens"`   // generated for each text: of many texts so many that the first still decode when the last begin
	Decode  Rate `json:"decode"`   // of all texts together, while all of them decode
	OnePass Rate `json:"one_pass"` // of single passes over as many tokens, the logits of each wanted

	OfOnePass  float64     `json:"of_one_pass"`
	Total      Rate        `json:"total"` // of all texts together, from the first request to the last token
	FirstToken Percentiles `json:"first_token_ms"`
	Gap        Percentiles `json:"gap_ms"` // between tokens of a text
}

// Rate is in tokens a second.
type Rate struct {
	Median float64 `json:"tok_s"`
	Low    float64 `json:"tok_s_lower_quartile"`
	High   float64 `json:"tok_s_upper_quartile"`
}

// Percentiles are of durations, in milliseconds.
type Percentiles struct {
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95"`
	P99     float64 `json:"p99"`
	Longest float64 `json:"longest"`
}

// tokensForEach is how many tokens each text has at least for every text at once.
const tokensForEach = 8

// measurement is a row in the making.
type measurement struct {
	row                    Row
	decode, onePass, total []float64
	first, gaps            []float64
	cached                 int
	requests               int
}

// Measure runs texts of random tokens, greedily, each to the wanted number of tokens. It fails with runtime.ErrOption where
// the model's context is too short for them.
func Measure(ctx context.Context, m *runtime.Model, o Options) (Result, error) {
	if o.Texts == nil {
		o.Texts = []int{1, 4, 16, 32}
	}
	o.Prompt, o.Tokens, o.Repeats = cmp.Or(o.Prompt, 64), cmp.Or(o.Tokens, 128), cmp.Or(o.Repeats, 3)
	if o.Prompt < 4 || o.Tokens < 4 || o.Prompt+o.Tokens > m.Shape().Context {
		return Result{}, fmt.Errorf("%w: prompts of %d tokens and texts of %d in a context of %d", runtime.ErrOption, o.Prompt, o.Tokens, m.Shape().Context)
	}
	var list []*measurement
	for _, texts := range o.Texts {
		tokens := min(max(o.Tokens, tokensForEach*texts), m.Shape().Context-o.Prompt)
		if texts < 1 || o.Prompt+tokens/2+texts > m.Shape().Context {
			return Result{}, fmt.Errorf("%w: %d texts at once", runtime.ErrOption, texts)
		}
		for _, shared := range []bool{false, true} {
			list = append(list, &measurement{row: Row{Texts: texts, Shared: shared, Tokens: tokens}})
		}
	}
	defer engine.SpareProcessor(m.Threads())()
	for round := range o.Repeats + 1 {
		for i, one := range list {
			if round == 1 { // what was before warmed up
				*one = measurement{row: Row{Texts: one.row.Texts, Shared: one.row.Shared, Tokens: one.row.Tokens}}
			}
			if err := one.take(ctx, m, o, uint64(round)); err != nil {
				return Result{}, fmt.Errorf("%d texts: %w", one.row.Texts, err)
			}
			if o.Progress != nil {
				o.Progress(int64(round*len(list)+i+1), int64((o.Repeats+1)*len(list)))
			}
		}
	}
	result := Result{Prompt: o.Prompt, Tokens: o.Tokens}
	for _, one := range list {
		result.Rows = append(result.Rows, one.result())
	}
	return result, nil
}

// take makes one measurement.
func (one *measurement) take(ctx context.Context, m *runtime.Model, o Options, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, uint64(one.row.Texts)))
	tokens := func(n int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = random.Int32N(int32(m.Shape().Vocabulary))
		}
		return ids
	}
	if err := one.takeOnePass(ctx, m, tokens(o.Prompt+one.row.Tokens/2), tokens(one.row.Texts)); err != nil {
		return err
	}
	e, err := engine.New(m, engine.Options{Texts: one.row.Texts, Queue: one.row.Texts})
	if err != nil {
		return err
	}
	defer e.Close()
	var common []int32
	if one.row.Shared {
		common = tokens(o.Prompt * 3 / 4)
		if _, err := read(ctx, e, common, 1); err != nil {
			return err
		}
	}
	prompts := make([][]int32, one.row.Texts)
	for i := range prompts {
		prompts[i] = append(slices.Clone(common), tokens(o.Prompt-len(common))...)
	}
	texts, errs := make([]text, len(prompts)), make([]error, len(prompts))
	var group sync.WaitGroup
	began := time.Now()
	for i, prompt := range prompts {
		group.Go(func() { texts[i], errs[i] = read(ctx, e, prompt, one.row.Tokens) })
	}
	group.Wait()
	for i := range texts {
		if errs[i] != nil {
			return errs[i]
		}
	}
	one.count(began, texts)
	return nil
}

// passes is how many passes are timed for their rate.
const passes = 8

// takeOnePass measures passes over a number of tokens of one session.
func (one *measurement) takeOnePass(ctx context.Context, m *runtime.Model, before, ids []int32) error {
	s := m.NewSession()
	defer s.Close()
	if _, err := s.AppendContext(ctx, before); err != nil {
		return err
	}
	for range passes {
		start := time.Now()
		if _, err := s.AppendAllContext(ctx, ids); err != nil {
			return err
		}
		one.onePass = append(one.onePass, float64(len(ids))/time.Since(start).Seconds())
		s.Truncate(len(before))
	}
	return nil
}

// text is when the tokens of a text came.
type text struct {
	began  time.Time
	came   []time.Time
	cached int
}

// read submits a prompt and reads the text.
func read(ctx context.Context, e *engine.Engine, prompt []int32, tokens int) (text, error) {
	t := text{began: time.Now()}
	s, err := e.Submit(ctx, engine.Request{Prompt: prompt, Limits: []runtime.GenerateOption{runtime.MaxTokens(tokens), runtime.IgnoreEOS()}})
	if err != nil {
		return t, err
	}
	for _, err := range s.Tokens() {
		if err != nil {
			return t, err
		}
		t.came = append(t.came, time.Now())
	}
	t.cached = s.Outcomes()[0].Cached
	return t, nil
}

// count takes in a round's texts.
func (one *measurement) count(began time.Time, texts []text) {
	var all, last time.Time // when all texts had begun, and when the first of them ended
	end, tokens := began, 0
	for i, t := range texts {
		one.requests++
		one.cached += t.cached
		first, final := t.came[0], t.came[len(t.came)-1]
		one.first = append(one.first, first.Sub(t.began).Seconds())
		for j := range t.came[1:] {
			one.gaps = append(one.gaps, t.came[j+1].Sub(t.came[j]).Seconds())
		}
		if first.After(all) {
			all = first
		}
		if i == 0 || final.Before(last) {
			last = final
		}
		if final.After(end) {
			end = final
		}
		tokens += len(t.came)
	}
	one.total = append(one.total, float64(tokens)/end.Sub(began).Seconds())
	within := 0
	for _, t := range texts {
		for _, came := range t.came {
			if came.After(all) && !came.After(last) {
				within++
			}
		}
	}
	if seconds := last.Sub(all).Seconds(); seconds > 0 {
		one.decode = append(one.decode, float64(within)/seconds)
	}
}

func (one *measurement) result() Row {
	r := one.row
	r.Cached = one.cached / max(one.requests, 1)
	r.Decode, r.OnePass, r.Total = rate(one.decode), rate(one.onePass), rate(one.total)
	r.OfOnePass = r.Decode.Median / r.OnePass.Median
	r.FirstToken, r.Gap = percentiles(one.first), percentiles(one.gaps)
	return r
}

func rate(rates []float64) Rate {
	slices.Sort(rates)
	return Rate{Median: quantile(rates, 0.5), Low: quantile(rates, 0.25), High: quantile(rates, 0.75)}
}

func percentiles(seconds []float64) Percentiles {
	slices.Sort(seconds)
	at := func(share float64) float64 { return 1000 * quantile(seconds, share) }
	return Percentiles{P50: at(0.5), P95: at(0.95), P99: at(0.99), Longest: at(1)}
}

// quantile returns the value below which that share of sorted ones is, the nearest of them; 0 of none.
func quantile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(math.Round(share*float64(len(sorted)-1)))]
}
