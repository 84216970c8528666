// Package bench measures how fast a model runs on this machine, and how fast it could run at best:
// decoding reads every weight once for each token, so the rate at which the same threads read the
// same weights and do nothing else is its roofline (S. Williams et al., "Roofline", 2009).
//
// It never judges a figure and never compares texts. Measurements are repeated in rounds, each of
// which takes every measurement once, so that a slow moment of the machine spoils at most one round; medians
// are reported. Start reading at Measure.
package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/bench/statistics"
)

// Result is what Measure finds about one model.
type Result struct {
	Model    string    `json:"model"`
	Threads  int       `json:"threads"`
	Kernels  string    `json:"kernels"`
	Features []string  `json:"cpu_features"` // see kernels.Features
	Decode   []Decode  `json:"decode"`
	Prefill  []Prefill `json:"prefill"`
	Batch    []Batch   `json:"batch"`
	Roofline float64   `json:"roofline_gb_s"` // reading the weights and nothing else, 10^9 bytes a second
	Open     float64   `json:"open_ms"`       // without the checksums
	PeakRSS  float64   `json:"peak_rss_mb"`   // of the process while this model alone reads a prompt and writes, mapped weights included, 10^6 bytes; 0 if the system does not tell
}

// Spread is what a figure was in most rounds.
type Spread struct {
	Low  float64 `json:"low"` // first quartile
	High float64 `json:"high"`
}

// Decode is the speed of one token at a time.
type Decode struct {
	Span
	Rate       float64 `json:"tok_s"` // the median
	Spread     Spread  `json:"tok_s_quartiles"`
	Bandwidth  float64 `json:"gb_s"` // bytes of weights and cache read, 10^9 a second
	OfRoofline float64 `json:"of_roofline"`
}

// Span is a part of a text that is decoded token by token.
type Span struct {
	Depth  int `json:"depth"`  // positions in use before the first token
	Tokens int `json:"tokens"` // decoded
}

// Prefill is the speed of a whole prompt in an empty context, up to its last token's logits.
type Prefill struct {
	Tokens int     `json:"tokens"`
	Rate   float64 `json:"tok_s"` // the median
	Spread Spread  `json:"tok_s_quartiles"`
}

// Batch is the time of a pass over several tokens with the logits of each, as verifying a draft
// needs them.
type Batch struct {
	Tokens       int     `json:"tokens"`
	Milliseconds float64 `json:"ms"`
}

// Options are the choices of Measure.
type Options struct {
	Threads  int                     // as runtime.NewThreads takes it
	Repeats  int                     // rounds; 0: 5
	Progress func(done, total int64) // told of measurements made, if not nil

	// Decodes are the spans to decode; nil: 64 tokens at the beginning and at the end of the context, or of the first
	// 4,160 positions of a longer one. Prompts are the lengths of prompts; nil: 128 and 512. What the context, so far as it is
	// measured, is too short for is left out.
	Decodes []Span
	Prompts []int
	// Batches is the largest batch; 0: 16, negative: none.
	Batches int
}

const (
	decodeTokens = 64   // of the usual spans
	longestDepth = 4096 // before the last of these
	batchDepth   = 64   // positions in use before a batch
	largestBatch = 16

	// memoryPrompt and memoryTokens are what the peak of the resident memory is measured with.
	memoryPrompt, memoryTokens = 64, 16
)

// Measure measures the models in some files, in turns: every round has all measurements of all
// models, so that what slows the machine down for a while tells nothing about one of them. It ends between two
// measurements when ctx is done. Errors name the file.
func Measure(ctx context.Context, paths []string, o Options) ([]Result, error) {
	if o.Repeats == 0 {
		o.Repeats = 5
	}
	peaks := make([]int64, len(paths))
	for i, path := range paths { // before any model is open that has nothing to do with it
		var err error
		if peaks[i], err = measureMemory(path, o.Threads, i == 0); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	var list []*measurement
	var models []*bench
	for i, path := range paths {
		b, err := newBench(path, o)
		if err != nil {
			return nil, err
		}
		defer b.close()
		b.peak = peaks[i]
		models = append(models, b)
		list = append(list, b.round()...)
	}
	total := int64((o.Repeats + 1) * len(list))
	for round := range o.Repeats + 1 {
		for i, m := range list {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := m.take(); err != nil {
				return nil, fmt.Errorf("%s: measure %s: %w", m.path, m.name, err)
			}
			if round == 0 { // which warms up
				m.seconds = nil
			}
			if o.Progress != nil {
				o.Progress(int64(round*len(list)+i+1), total)
			}
		}
	}
	var results []Result
	for _, b := range models {
		results = append(results, b.result())
	}
	return results, nil
}

// measureMemory returns the most memory that is resident while a model reads and writes a short text,
// 0 where the system's peak is that of another model's too.
func measureMemory(path string, threads int, first bool) (bytes int64, err error) {
	debug.FreeOSMemory() // what was done before is not part of the peak
	if !resetPeakRSS() && !first {
		return 0, nil
	}
	model, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(threads)))
	if err != nil {
		return 0, err
	}
	defer model.Close()
	session := model.NewSession()
	defer session.Close()
	prompt := min(memoryPrompt, max(model.Shape().Context-memoryTokens, 1))
	if _, err := session.Append(make([]int32, prompt)); err != nil {
		return 0, err
	}
	for range min(memoryTokens, model.Shape().Context-prompt) {
		if _, err := session.Append([]int32{0}); err != nil {
			return 0, err
		}
	}
	return peakRSS(), nil
}

// measurement is one thing to measure, and what it took in every round.
type measurement struct {
	path    string // of the model
	name    string
	tokens  int  // of a prompt or batch
	span    Span // of decoding
	times   int  // to run it in every round; 0: once
	run     func() (seconds float64, err error)
	seconds []float64
}

// settle is how long idle threads of another measurement may still spin, with a margin; see
// kernels/pool.
const settle = 5 * time.Millisecond

// take runs the measurement as often as one round asks for.
func (m *measurement) take() error {
	time.Sleep(settle)
	for range max(m.times, 1) {
		seconds, err := m.run()
		if err != nil {
			return err
		}
		m.seconds = append(m.seconds, seconds)
	}
	return nil
}

// quantile returns the time in seconds below which that share of the rounds was.
func (m *measurement) quantile(share float64) float64 {
	return statistics.Quantile(m.seconds, share)
}

func (m *measurement) median() float64 { return m.quantile(0.5) }

// rate returns tokens a second: the median and the quartiles.
func (m *measurement) rate(tokens int) (float64, Spread) {
	n := float64(tokens)
	return n / m.median(), Spread{Low: n / m.quantile(0.75), High: n / m.quantile(0.25)}
}

// bench is a model under measurement.
type bench struct {
	path    string
	threads int
	model   *runtime.Model
	reader  *reader
	ids     []int32          // of a text as long as the context
	session *runtime.Session // holds the beginning of that text
	peak    int64            // bytes of resident memory

	open, roofline *measurement
	decodes        []*measurement
	prefills       []*measurement
	batches        []*measurement
}

func newBench(path string, o Options) (*bench, error) {
	model, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(o.Threads)))
	if err != nil {
		return nil, err
	}
	set, err := kernels.Select(model.Kernels())
	if err != nil {
		model.Close()
		return nil, err
	}
	weights, err := weights(model)
	if err != nil {
		model.Close()
		return nil, err
	}
	session := model.NewSession()
	shape := model.Shape()
	b := &bench{
		path: path, threads: o.Threads, model: model, session: session,
		reader: newReader(weights, set, model.Threads().Count()),
	}
	random := rand.New(rand.NewPCG(1, 2)) // which tokens they are does not change what a pass costs
	length := min(shape.Context, longestDepth+decodeTokens)
	for range length {
		b.ids = append(b.ids, random.Int32N(int32(shape.Vocabulary)))
	}
	b.roofline = &measurement{path: path, name: "roofline", run: b.reader.measure}
	b.open = &measurement{path: path, name: "open", times: 8, run: b.timeOpen}
	spans := o.Decodes
	if spans == nil {
		step := max(min(decodeTokens, length/2), 1)
		spans = []Span{{0, step}, {length - step, step}}
	}
	for _, span := range spans {
		if span.Depth+span.Tokens <= length {
			b.decodes = append(b.decodes, b.decode(span))
		}
	}
	prompts := o.Prompts
	if prompts == nil {
		prompts = []int{128, 512}
	}
	for _, n := range prompts {
		if n <= length {
			b.prefills = append(b.prefills, b.prompt(n))
		}
	}
	if o.Batches == 0 {
		o.Batches = largestBatch
	}
	for n := 1; n <= min(o.Batches, length); n++ {
		b.batches = append(b.batches, b.verification(min(batchDepth, length-n), n))
	}
	return b, nil
}

func (b *bench) close() {
	b.reader.close()
	b.model.Close()
}

// round returns the measurements of one round. The roofline is taken before and after what is
// compared with it.
func (b *bench) round() []*measurement {
	list := append([]*measurement{b.open}, b.prefills...) // which leave much of the text that comes next
	list = append(list, b.roofline)
	list = append(list, b.decodes...)
	list = append(list, b.roofline)
	return append(list, b.batches...)
}

func (b *bench) timeOpen() (float64, error) {
	start := time.Now()
	m, err := runtime.Open(b.path, runtime.WithThreads(runtime.NewThreads(b.threads)), runtime.WithoutVerify())
	seconds := time.Since(start).Seconds()
	if err != nil {
		return 0, err
	}
	return seconds, m.Close()
}

// fill makes the session hold the first n tokens of the text.
func (b *bench) fill(n int) error {
	b.session.Truncate(n)
	missing := b.ids[b.session.Len():n]
	if len(missing) == 0 {
		return nil
	}
	_, err := b.session.Append(missing)
	return err
}

// wake runs one token and forgets it, so that the threads are up when the clock starts.
func (b *bench) wake() error {
	n := b.session.Len()
	_, err := b.session.Append(b.ids[n : n+1])
	b.session.Truncate(n)
	return err
}

// decode measures the tokens of a span, one by one.
func (b *bench) decode(span Span) *measurement {
	name := fmt.Sprintf("decode of %d at %d", span.Tokens, span.Depth)
	return &measurement{path: b.path, name: name, span: span, run: func() (float64, error) {
		if err := b.fill(span.Depth); err != nil {
			return 0, err
		}
		if err := b.wake(); err != nil {
			return 0, err
		}
		start := time.Now()
		for i := span.Depth; i < span.Depth+span.Tokens; i++ {
			if _, err := b.session.Append(b.ids[i : i+1]); err != nil {
				return 0, err
			}
		}
		return time.Since(start).Seconds(), nil
	}}
}

// prompt measures a prompt of n tokens.
func (b *bench) prompt(n int) *measurement {
	return &measurement{path: b.path, name: fmt.Sprintf("prefill of %d", n), tokens: n, run: func() (float64, error) {
		b.session.Truncate(0)
		if err := b.wake(); err != nil {
			return 0, err
		}
		start := time.Now()
		_, err := b.session.Append(b.ids[:n])
		return time.Since(start).Seconds(), err
	}}
}

// verification measures a pass over n tokens from position depth on.
func (b *bench) verification(depth, n int) *measurement {
	return &measurement{path: b.path, name: fmt.Sprintf("batch of %d", n), tokens: n, times: 8, run: func() (float64, error) {
		if err := b.fill(depth); err != nil {
			return 0, err
		}
		start := time.Now()
		_, err := b.session.AppendAll(b.ids[depth : depth+n])
		return time.Since(start).Seconds(), err
	}}
}

func (b *bench) result() Result {
	r := Result{
		Model:    b.path,
		Threads:  b.model.Threads().Count(),
		Kernels:  b.model.Kernels(),
		Features: kernels.Features(),
		Decode:   []Decode{},
		Prefill:  []Prefill{},
		Batch:    []Batch{},
		Roofline: float64(b.reader.bytes) / b.roofline.median() / 1e9,
		Open:     1000 * b.open.median(),
		PeakRSS:  float64(b.peak) / 1e6,
	}
	for _, m := range b.decodes {
		rate, spread := m.rate(m.span.Tokens)
		bandwidth := rate * (float64(b.reader.bytes) + b.cacheBytes(m.span)) / 1e9
		r.Decode = append(r.Decode, Decode{m.span, rate, spread, bandwidth, bandwidth / r.Roofline})
	}
	for _, m := range b.prefills {
		rate, spread := m.rate(m.tokens)
		r.Prefill = append(r.Prefill, Prefill{m.tokens, rate, spread})
	}
	for _, m := range b.batches {
		r.Batch = append(r.Batch, Batch{m.tokens, 1000 * m.median()})
	}
	return r
}

// cacheBytes returns the mean number of bytes of cache that a token of a span reads: a pass reads
// its own position too, and the positions in use grow by one with each.
func (b *bench) cacheBytes(span Span) float64 {
	sum := int64(0)
	for i := range span.Tokens {
		sum += b.model.KVRead(span.Depth + i + 1)
	}
	return float64(sum) / float64(span.Tokens)
}
