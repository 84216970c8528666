package spec

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/generation"
)

// MaxLength is the largest number of guesses that are checked in one pass.
const MaxLength = 16

// Token is one generated token and who came up with it.
type Token struct {
	runtime.Token
	Origin Origin
}

// Decoder generates texts with a target model and drafters, or plainly without any. What it learns
// about their speed and luck serves its next text too, and where a prompt begins as the text before
// did, that much is not run again. It must not be used from several goroutines at once.
type Decoder struct {
	// Length fixes how many guesses a draft has, MaxLength at most, and lets the first drafter with an
	// offer make them. 0 leaves it to what is measured whom to ask, for how many, and whether at all.
	Length int

	target     *runtime.Model
	session    *runtime.Session
	drafters   []Drafter
	controller controller
	statistics Statistics
}

// New returns a Decoder. Of several drafters, the one that promises most is asked each time; nil is none.
func New(target *runtime.Model, drafters ...Drafter) *Decoder {
	drafters = slices.DeleteFunc(slices.Clone(drafters), func(d Drafter) bool { return d == nil })
	return &Decoder{target: target, session: target.NewSession(), drafters: drafters, controller: newController(len(drafters))}
}

// Close gives back the memory of the target's cache, which would otherwise happen when the Decoder is collected. Drafters
// have their own.
func (d *Decoder) Close() { d.session.Close() }

// Generate yields the text that follows the prompt, as target.Generate does: the same tokens, the
// same end, the same errors. For statistics, or more texts than one, use a Decoder.
func Generate(ctx context.Context, target *runtime.Model, drafter Drafter, prompt []int32, sampling runtime.Sampling, options ...runtime.GenerateOption) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		d := New(target, drafter)
		defer d.Close()
		d.Generate(ctx, prompt, sampling, options...)(yield)
	}
}

// Statistics returns the counts of the latest text, also while that is being generated.
func (d *Decoder) Statistics() Statistics {
	s := d.statistics
	s.ByOrigin = maps.Clone(s.ByOrigin)
	return s
}

// Generate is the function Generate with this Decoder's drafters. A drafter that fails is not asked
// again for this text, which goes on without it; Statistics has the error.
func (d *Decoder) Generate(ctx context.Context, prompt []int32, sampling runtime.Sampling, options ...runtime.GenerateOption) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		t, err := d.begin(prompt, sampling, options)
		if err == nil {
			defer t.end()
		}
		for more := true; err == nil && more && !t.Done(); {
			if more, err = t.step(ctx, yield); err != nil {
				t.Fail(err)
			}
		}
		if err != nil {
			yield(Token{}, err)
		}
	}
}

// text is one text in the making. Between steps the target's session holds all of it but the last
// token, before the first one what the prompt has in common with the text before.
type text struct {
	*Decoder
	*generation.Generation
	sampler *runtime.Sampler
	tokens  []int32 // prompt and text
	offers  []Offer
	failed  []bool // drafters that are not asked again
	more    func(margin float64) bool
	began   time.Time     // when the draft did
	first   time.Duration // until its first guess; 0 if that was not told
	input   []int32
	last    [1][]float32
}

func (d *Decoder) begin(prompt []int32, sampling runtime.Sampling, options []runtime.GenerateOption) (*text, error) {
	sampler, err := d.target.NewSampler(sampling)
	if err != nil {
		return nil, err
	}
	g, err := d.target.NewGeneration(prompt, options...)
	if err != nil {
		return nil, err
	}
	sampler.Begin(g.Rules())
	d.session.Keep(prompt[:len(prompt)-1]) // the last token's logits are needed
	d.controller.begin()
	d.statistics = Statistics{Prefilled: len(prompt) - d.session.Len(), ByOrigin: map[Origin]int{}}
	t := &text{
		Decoder: d, Generation: g, sampler: sampler,
		tokens: slices.Clone(prompt),
		offers: make([]Offer, len(d.drafters)),
		failed: make([]bool, len(d.drafters)),
	}
	t.more = func(margin float64) bool {
		if t.first == 0 {
			t.first = time.Since(t.began)
		}
		return d.controller.more(margin, t.first)
	}
	return t, nil
}

// end leaves the session without guesses that were not taken, wherever the text ended.
func (t *text) end() { t.session.Truncate(len(t.tokens) - 1) }

// round is one pass of the target after the prompt's, and what the controller learns from.
type round struct {
	drafter  int // -1: none, this is plain decoding
	offer    Offer
	drafted  int
	accepted int
	rejected bool // the guess after the accepted ones was wrong
	tokens   int  // drawn: the accepted ones and, unless the text ended there, one more

	draftTime time.Duration
	firstTime time.Duration // of that, until the first guess; 0 if the drafter did not tell
	passTime  time.Duration
	drawTime  time.Duration
}

// step lets the target run once: over the prompt the first time, after that over the last token and
// a draft of what may follow. It yields the tokens that come out of it and returns whether more are
// wanted.
func (t *text) step(ctx context.Context, yield func(Token, error) bool) (more bool, err error) {
	prefill := t.statistics.Tokens == 0
	r := round{drafter: -1}
	var draft []int32
	if !prefill {
		if draft, err = t.guess(ctx, &r); err != nil {
			return false, err
		}
	}
	start := time.Now()
	logits, err := t.run(ctx, draft)
	if err != nil {
		return false, err
	}
	r.passTime = time.Since(start)
	t.statistics.TargetPasses++

	// The target's own token is taken at every position; the logits after it hold for as long as
	// the draft had the same one.
	for agreed := true; agreed && !t.Done(); r.tokens++ {
		start := time.Now()
		id, err := t.sampler.Draw(logits[r.tokens], t.tokens)
		if err != nil {
			return false, err
		}
		r.drawTime += time.Since(start)
		t.tokens = append(t.tokens, id)
		token, err := t.Accept(id)
		if err != nil {
			return false, err
		}

		origin := FromTarget
		if agreed = r.tokens < len(draft) && draft[r.tokens] == id; agreed {
			origin = t.drafters[r.drafter].Origin()
			r.accepted++
		}
		r.rejected = !agreed && r.tokens < len(draft)
		t.statistics.count(origin, r.rejected)
		if !yield(Token{token, origin}, nil) {
			return false, nil
		}
		if err := ctx.Err(); err != nil && !t.Done() {
			return false, err
		}
	}
	t.session.Truncate(len(t.tokens) - 1)
	if !prefill && t.Length == 0 {
		t.controller.learn(r)
	}
	return true, nil
}

// guess decides on a drafter and returns its draft, which is empty if none is worth it.
func (t *text) guess(ctx context.Context, r *round) ([]int32, error) {
	most := min(t.Remaining()-1, MaxLength) // a pass yields one token more than there are guesses
	for i, drafter := range t.drafters {
		t.offers[i] = Offer{}
		if most > 0 && !t.failed[i] {
			t.offers[i] = drafter.Offer(t.tokens)
			t.offers[i].Length = min(t.offers[i].Length, most)
		}
	}
	chosen, length := t.choose()
	if length == 0 {
		return nil, nil
	}
	t.began, t.first = time.Now(), 0
	draft, err := t.propose(ctx, t.drafters[chosen], length)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err != nil {
		t.failed[chosen] = true
		t.statistics.DraftError = err
	}
	if err != nil || len(draft) == 0 {
		return nil, nil
	}
	t.statistics.Drafts++
	t.statistics.Drafted += len(draft)
	r.drafter, r.offer, r.drafted, r.draftTime = chosen, t.offers[chosen], len(draft), time.Since(t.began)
	r.firstTime = t.first
	return draft, nil
}

// choose returns which drafter to ask for how many guesses, 0 for none.
func (t *text) choose() (drafter, length int) {
	if t.Length == 0 {
		return t.controller.choose(t.offers)
	}
	for i, offer := range t.offers {
		if offer.Length > 0 {
			return i, min(t.Length, offer.Length)
		}
	}
	return 0, 0
}

// propose asks a drafter and checks what it says.
func (t *text) propose(ctx context.Context, drafter Drafter, length int) ([]int32, error) {
	var more func(margin float64) bool
	if t.Length == 0 {
		more = t.more
	}
	draft, err := drafter.Propose(ctx, t.tokens, length, t.sampler, more)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", drafter.Origin(), err)
	}
	if len(draft) > length {
		return nil, fmt.Errorf("%s: %d guesses, asked for %d", drafter.Origin(), len(draft), length)
	}
	for _, id := range draft {
		if vocabulary := t.target.Shape().Vocabulary; id < 0 || int(id) >= vocabulary {
			return nil, fmt.Errorf("%s: guessed %d, the vocabulary has %d: %w", drafter.Origin(), id, vocabulary, runtime.ErrToken)
		}
	}
	return draft, nil
}

// run sends what the target's session lacks of the text, and the draft, through the target. It
// returns the logits after the last token of the text and after every guess.
func (t *text) run(ctx context.Context, draft []int32) ([][]float32, error) {
	known := t.tokens[t.session.Len():]
	if len(draft) > 0 {
		t.input = append(append(t.input[:0], known...), draft...) // known is one token
		return t.session.AppendAllContext(ctx, t.input)
	}
	logits, err := t.session.AppendContext(ctx, known)
	t.last[0] = logits
	return t.last[:], err
}
