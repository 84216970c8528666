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
	"slices"
	"time"

	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/runtime"
)

// Result is what Measure finds. Rates are medians.
type Result struct {
	Model    string    `json:"model"`
	Threads  int       `json:"threads"`
	Kernels  string    `json:"kernels"`
	Decode   []Decode  `json:"decode"`
	Prefill  []Prefill `json:"prefill"`
	Batch    []Batch   `json:"batch"`
	Roofline float64   `json:"roofline_gb_s"` // reading the weights and nothing else, 10^9 bytes a second
	Open     float64   `json:"open_ms"`       // without the checksums
	PeakRSS  float64   `json:"peak_rss_mb"`   // of the process meanwhile, mapped weights included, 10^6 bytes; 0 if the system does not tell
}

// Decode is the speed of one token at a time.
type Decode struct {
	Depth      int     `json:"depth"` // positions in use before the first token
	Rate       float64 `json:"tok_s"`
	Bandwidth  float64 `json:"gb_s"` // bytes of weights and cache read, 10^9 a second
	OfRoofline float64 `json:"of_roofline"`
}

// Prefill is the speed of a whole prompt in an empty context, up to its last token's logits.
type Prefill struct {
	Tokens int     `json:"tokens"`
	Rate   float64 `json:"tok_s"`
}

// Batch is the time of a pass over several tokens with the logits of each, as verifying a draft
// needs them.
type Batch struct {
	Tokens       int     `json:"tokens"`
	Milliseconds float64 `json:"ms"`
}

// Options are the choices of Measure.
type Options struct {
	Threads  int                     // as runtime.WithThreads takes it
	Repeats  int                     // rounds; 0: 5
	Progress func(done, total int64) // told of measurements made, if not nil
}

const (
	decodeTokens = 64 // that one measurement of decoding takes
	batchDepth   = 64 // positions in use before a batch
	largestBatch = 16
)

// prefillTokens are the prompts' lengths, where the context is long enough.
var prefillTokens = []int{128, 512}

// Measure measures the model in a file. It ends between two measurements when ctx is done.
func Measure(ctx context.Context, path string, o Options) (Result, error) {
	if o.Repeats == 0 {
		o.Repeats = 5
	}
	debug.FreeOSMemory() // what was done before is not part of the peak
	resetPeakRSS()
	b, err := newBench(path, o.Threads)
	if err != nil {
		return Result{}, err
	}
	defer b.close()
	list := b.round()
	total := int64((o.Repeats + 1) * len(list))
	for round := range o.Repeats + 1 {
		for i, m := range list {
			if err := ctx.Err(); err != nil {
				return Result{}, err
			}
			if err := m.take(); err != nil {
				return Result{}, fmt.Errorf("measure %s: %w", m.name, err)
			}
			if round == 0 { // which warms up
				m.seconds = nil
			}
			if o.Progress != nil {
				o.Progress(int64(round*len(list)+i+1), total)
			}
		}
	}
	return b.result(), nil
}

// measurement is one thing to measure, and what it took in every round.
type measurement struct {
	name    string
	tokens  int // of a prompt or batch; in use before decoding
	times   int // to run it in every round; 0: once
	run     func() (seconds float64, err error)
	seconds []float64
}

// take runs the measurement as often as one round asks for.
func (m *measurement) take() error {
	for range max(m.times, 1) {
		seconds, err := m.run()
		if err != nil {
			return err
		}
		m.seconds = append(m.seconds, seconds)
	}
	return nil
}

// median returns the median time in seconds.
func (m *measurement) median() float64 {
	sorted := slices.Sorted(slices.Values(m.seconds))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// bench is a model under measurement.
type bench struct {
	path    string
	threads int
	model   *runtime.Model
	reader  *reader
	ids     []int32          // of a text as long as the context
	session *runtime.Session // holds the beginning of that text
	step    int              // tokens of one measurement of decoding

	open, roofline *measurement
	decodes        []*measurement // at the beginning and near the end
	prefills       []*measurement
	batches        []*measurement
}

func newBench(path string, threads int) (*bench, error) {
	model, err := runtime.Open(path, runtime.WithThreads(threads))
	if err != nil {
		return nil, err
	}
	set, err := kernels.Select(model.Kernels())
	if err != nil {
		model.Close()
		return nil, err
	}
	session, err := model.NewSession()
	if err != nil {
		model.Close()
		return nil, err
	}
	shape := model.Shape()
	step := max(min(decodeTokens, shape.Context/2), 1)
	b := &bench{
		path: path, threads: threads, model: model, session: session,
		reader: newReader(model.Weights(), set, model.Threads()),
		step:   step,
	}
	random := rand.New(rand.NewPCG(1, 2)) // which tokens they are does not change what a pass costs
	for range shape.Context {
		b.ids = append(b.ids, random.Int32N(int32(shape.Vocabulary)))
	}
	b.roofline = &measurement{name: "roofline", run: b.reader.measure}
	b.open = &measurement{name: "open", times: 8, run: b.timeOpen}
	b.decodes = []*measurement{b.decode(0), b.decode(shape.Context - step)}
	for _, n := range prefillTokens {
		if n <= shape.Context {
			b.prefills = append(b.prefills, b.prompt(n))
		}
	}
	for n := 1; n <= min(largestBatch, shape.Context); n++ {
		b.batches = append(b.batches, b.verification(min(batchDepth, shape.Context-n), n))
	}
	return b, nil
}

func (b *bench) close() {
	b.reader.close()
	b.model.Close()
}

// round returns the measurements of one round. The roofline is taken on both sides of what is
// compared with it.
func (b *bench) round() []*measurement {
	list := []*measurement{b.open, b.roofline, b.decodes[0], b.roofline}
	list = append(list, b.prefills...) // which leaves much of the text that comes next
	list = append(list, b.decodes[1], b.roofline)
	return append(list, b.batches...)
}

func (b *bench) timeOpen() (float64, error) {
	start := time.Now()
	m, err := runtime.Open(b.path, runtime.WithThreads(b.threads), runtime.WithoutVerify())
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

// decode measures b.step tokens, one by one, from position depth on.
func (b *bench) decode(depth int) *measurement {
	return &measurement{name: fmt.Sprintf("decode at %d", depth), tokens: depth, run: func() (float64, error) {
		if err := b.fill(depth); err != nil {
			return 0, err
		}
		start := time.Now()
		for i := range b.step {
			if _, err := b.session.Append(b.ids[depth+i : depth+i+1]); err != nil {
				return 0, err
			}
		}
		return time.Since(start).Seconds(), nil
	}}
}

// prompt measures a prompt of n tokens.
func (b *bench) prompt(n int) *measurement {
	return &measurement{name: fmt.Sprintf("prefill of %d", n), tokens: n, run: func() (float64, error) {
		b.session.Truncate(0)
		start := time.Now()
		_, err := b.session.Append(b.ids[:n])
		return time.Since(start).Seconds(), err
	}}
}

// verification measures a pass over n tokens from position depth on.
func (b *bench) verification(depth, n int) *measurement {
	return &measurement{name: fmt.Sprintf("batch of %d", n), tokens: n, times: 8, run: func() (float64, error) {
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
		Threads:  b.model.Threads(),
		Kernels:  b.model.Kernels(),
		Prefill:  []Prefill{},
		Roofline: float64(b.reader.bytes) / b.roofline.median() / 1e9,
		Open:     1000 * b.open.median(),
		PeakRSS:  float64(peakRSS()) / 1e6,
	}
	for _, m := range b.decodes {
		rate := float64(b.step) / m.median()
		bandwidth := rate * (float64(b.reader.bytes) + b.cacheBytes(m.tokens)) / 1e9
		r.Decode = append(r.Decode, Decode{m.tokens, rate, bandwidth, bandwidth / r.Roofline})
	}
	for _, m := range b.prefills {
		r.Prefill = append(r.Prefill, Prefill{m.tokens, float64(m.tokens) / m.median()})
	}
	for _, m := range b.batches {
		r.Batch = append(r.Batch, Batch{m.tokens, 1000 * m.median()})
	}
	return r
}

// cacheBytes returns the mean number of bytes of cache that a token of decode reads: a pass reads
// its own position too, and the positions in use grow by one with each.
func (b *bench) cacheBytes(depth int) float64 {
	perPosition := float64(b.session.CacheBytes()) / float64(b.session.Len())
	return perPosition * (float64(depth) + float64(b.step+1)/2)
}
