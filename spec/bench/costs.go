package bench

import (
	"context"
	"math"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/bench/statistics"
	"github.com/tti-llm/tti/spec"
)

// Costs are what theory wants to know, in parts of the time that plain decoding takes for a token.
type Costs struct {
	Guess float64   `json:"guess"`  // r: one token of the draft
	Draw  float64   `json:"draw"`   // drawing one token from the target's logits, a part of plain decoding
	Pass  []float64 `json:"passes"` // v: the target's pass over k guesses and the token before them
}

const (
	costRounds = 3 // how often MeasureCosts goes through all lengths
	costRuns   = 8 // how often it takes each then, one after the other, and plain decoding beside it
	costWarm   = 3 // how many of them do not count
)

// MeasureCosts times the parts of speculation as they follow each other: for every length some
// drafts and passes in turns, because what one leaves in the caches the other must do without, and
// some tokens of plain decoding. The text goes on as if every guess were right, so that a drafter has to
// run what it lacks of it.
func MeasureCosts(ctx context.Context, target *runtime.Model, drafter spec.Drafter, prompt []int32, sampling runtime.Sampling) (Costs, error) {
	sampler, err := target.NewSampler(sampling)
	if err != nil {
		return Costs{}, err
	}
	session := target.NewSession()
	defer session.Close()
	m := &costMeter{target: target, drafter: drafter, prompt: prompt, sampler: sampler, session: session}
	longest := min(spec.MaxLength, drafter.Offer(prompt).Length, target.Shape().Context-len(prompt)-1)
	var guesses, draws []float64
	passes := make([][]float64, longest+1)
	for range costRounds {
		for k := range longest + 1 {
			plain, err := m.measure(ctx, 0)
			if err != nil {
				return Costs{}, err
			}
			token := plain.pass + plain.draw
			passes[0], draws = append(passes[0], plain.pass/token), append(draws, plain.draw/token)
			if k == 0 {
				continue
			}
			speculative, err := m.measure(ctx, k)
			if err != nil {
				return Costs{}, err
			}
			passes[k], guesses = append(passes[k], speculative.pass/token), append(guesses, speculative.guess/token)
		}
	}
	c := Costs{Guess: statistics.Median(guesses), Draw: statistics.Median(draws)}
	for _, ratios := range passes {
		c.Pass = append(c.Pass, statistics.Median(ratios))
	}
	return c, nil
}

// costMeter is a text that is written for its costs.
type costMeter struct {
	target  *runtime.Model
	drafter spec.Drafter
	prompt  []int32
	sampler *runtime.Sampler
	session *runtime.Session
	text    []int32 // one token longer than what the session should hold
}

// seconds are the times of one guess, a pass and one draw.
type seconds struct{ guess, pass, draw float64 }

// measure returns the medians of some runs with k guesses.
func (m *costMeter) measure(ctx context.Context, k int) (seconds, error) {
	m.text = append(m.text[:0], m.prompt...)
	var guesses, passes, draws []float64
	for i := range costRuns {
		if err := ctx.Err(); err != nil {
			return seconds{}, err
		}
		s, err := m.run(ctx, k)
		if err != nil {
			return seconds{}, err
		}
		if i >= costWarm {
			guesses, passes, draws = append(guesses, s.guess), append(passes, s.pass), append(draws, s.draw)
		}
	}
	return seconds{statistics.Median(guesses), statistics.Median(passes), statistics.Median(draws)}, nil
}

// run times one draft, if k is not 0, one pass and one draw.
func (m *costMeter) run(ctx context.Context, k int) (s seconds, err error) {
	if len(m.text)+k > m.target.Shape().Context {
		m.text = m.text[:len(m.prompt)]
	}
	m.session.Truncate(len(m.text) - 1)
	if missing := m.text[m.session.Len() : len(m.text)-1]; len(missing) > 0 { // of a prompt nobody needs the logits
		if _, err := m.session.AppendContext(ctx, missing); err != nil {
			return seconds{}, err
		}
	}
	end := len(m.text) + k
	if k > 0 {
		start := time.Now()
		guesses, err := m.drafter.Propose(ctx, m.text, k, m.sampler, nil)
		if err != nil {
			return seconds{}, err
		}
		s.guess = time.Since(start).Seconds() / float64(max(len(guesses), 1))
		m.text = append(m.text, guesses...)
	}
	for len(m.text) < end { // fewer guesses than were asked for
		m.text = append(m.text, m.prompt[len(m.text)%len(m.prompt)])
	}
	start := time.Now()
	logits, err := m.session.AppendAllContext(ctx, m.text[m.session.Len():])
	if err != nil {
		return seconds{}, err
	}
	s.pass = time.Since(start).Seconds()
	start = time.Now()
	id, err := m.sampler.Draw(logits[len(logits)-1], m.text)
	s.draw = time.Since(start).Seconds()
	m.text = append(m.text, id)
	return s, err
}

// Gain is the speed-up over plain decoding of drafts of k guesses, each of which is right with
// probability a where those before it are: (1-a^(k+1)) / (1-a) tokens for the time of k guesses, a
// pass and the draws.
func (c Costs) Gain(a float64, k int) float64 {
	tokens := float64(k + 1)
	if a < 1 {
		tokens = (1 - math.Pow(a, float64(k+1))) / (1 - a)
	}
	return tokens / (float64(k)*c.Guess + c.Pass[k] + tokens*c.Draw)
}

// Best is the largest gain of any fixed length, and that length, 0 where nothing is gained.
func (c Costs) Best(a float64) (gain float64, length int) {
	gain = 1
	for k := 1; k < len(c.Pass); k++ {
		if g := c.Gain(a, k); g > gain {
			gain, length = g, k
		}
	}
	return gain, length
}
