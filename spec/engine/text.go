package engine

import (
	"math"
	"slices"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/generation"
	"github.com/tti-llm/tti/spec"
)

// text is one choice of a request. Between steps its session holds all of its tokens but the last one when it decodes, and
// less while the prompt, or what was taken back from it, has not been run.
type text struct {
	job        *job
	choice     int
	generation *generation.Generation
	sampler    *runtime.Sampler
	tokens     []int32          // prompt and what was drawn
	session    *runtime.Session // nil while it holds no pages
	preempted  int
	cached     int // tokens of the prompt that were known when it first began
	unscored   int // the first token of the prompt whose probability is wanted and not known; len(prompt) if there is none

	ngram             *spec.NGram      // nil until it is used
	draft             *runtime.Session // of the draft model, nil while it holds nothing
	caughtUp          bool             // the draft model has held all of it once
	undrafted         bool             // the draft model cannot guess for it
	drafted, accepted int              // guesses
	guessing, input   []int32          // memory for drafts

	drawn  []Token    // in this step
	scored []Logprobs // in this step, of the prompt
	err    error      // of this step's draws
}

func newText(m *runtime.Model, j *job, choice int) (*text, error) {
	sampling := j.Sampling
	sampling.Seed = ChoiceSeed(sampling.Seed, choice)
	sampler, err := m.NewSampler(sampling)
	if err != nil {
		return nil, err
	}
	g, err := m.NewGeneration(j.Prompt, j.Limits...)
	if err != nil {
		return nil, err
	}
	sampler.Begin(g.Rules())
	t := &text{job: j, choice: choice, generation: g, sampler: sampler, tokens: slices.Clone(j.Prompt), unscored: len(j.Prompt)}
	if j.Echo && choice == 0 { // one is enough
		t.unscored = min(1, len(j.Prompt))
	}
	return t, nil
}

// done reports whether nothing more is wanted of the text.
func (t *text) done() bool { return t.generation.Done() && t.unscored == len(t.job.Prompt) }

// wanted returns of how many of the next tokens to run, the last ones, logits are wanted.
func (t *text) wanted(count int) int {
	first, end := t.held(), t.held()+count // positions
	wanted := 0
	if end == len(t.tokens) {
		wanted = 1
	}
	if t.unscored < len(t.job.Prompt) { // the logits at a position tell of the next token
		wanted = max(wanted, end-max(first, t.unscored-1))
	}
	return wanted
}

// held is how many of its tokens the session holds.
func (t *text) held() int {
	if t.session == nil {
		return 0
	}
	return t.session.Len()
}

// pending returns the tokens that have not been run: one when the text decodes, more when it has to catch up.
func (t *text) pending() []int32 { return t.tokens[t.held():] }

// decodes reports whether the next row of the text gives a token.
func (t *text) decodes() bool { return t.session != nil && len(t.tokens)-t.session.Len() == 1 }

// outcome returns what can be said of the text so far.
func (t *text) outcome() Outcome {
	return Outcome{Outcome: t.generation.Outcome(), Drafted: t.drafted, Accepted: t.accepted, Cached: t.cached, Preempted: t.preempted}
}

// take takes what the logits of the latest rows give: the probabilities of the prompt's tokens and, when the text has caught
// up, a token, and one more after each guess of the draft that was right. It runs beside that of other texts.
func (t *text) take(d draw) {
	t.drawn, t.scored = t.drawn[:0], t.scored[:0]
	if t.err != nil {
		return
	}
	base := t.held() - len(d.logits) // position of the first row
	t.score(d.logits, base)
	if t.held() >= len(t.tokens) {
		d.logits = d.logits[len(t.tokens)-1-base:]
		t.draw(d)
	}
}

// score looks the tokens of the prompt up in the logits of the positions before them, of which base is the first.
func (t *text) score(logits [][]float32, base int) {
	for ; t.unscored < len(t.job.Prompt) && t.unscored-1 < t.held(); t.unscored++ {
		found := t.logprobs(logits[t.unscored-1-base], t.job.Prompt[t.unscored])
		if math.IsNaN(found.Logprob) {
			t.err = runtime.ErrNotANumber
			return
		}
		t.scored = append(t.scored, found)
	}
}

// logprobs returns what the request wants to know of a token.
func (t *text) logprobs(logits []float32, id int32) (l Logprobs) {
	l.Logprob, l.Top = t.sampler.Logprobs(logits, id, t.job.Top)
	return l
}

// draw draws from the rows of logits for as long as the draft agrees.
func (t *text) draw(d draw) {
	for agreed := true; agreed && !t.generation.Done(); {
		i := len(t.drawn)
		id, err := t.sampler.Draw(d.logits[i], t.tokens)
		if err != nil {
			t.err = err
			return
		}
		token := Token{Choice: t.choice, Origin: spec.FromTarget}
		if token.Token, err = t.generation.Accept(id); err != nil {
			t.err = err
			return
		}
		if t.job.Logprobs {
			token.Logprobs = t.logprobs(d.logits[i], id)
		}
		if agreed = i < len(d.draft) && d.draft[i] == id; agreed {
			token.Origin = d.origin
		}
		t.tokens = append(t.tokens, id)
		t.drawn = append(t.drawn, token)
	}
}

// release gives the pages of the text back.
func (t *text) release() {
	if t.session != nil {
		t.session.Close()
		t.session = nil
	}
	t.releaseDraft()
}

// releaseDraft gives the pages of the draft model back.
func (t *text) releaseDraft() {
	if t.draft != nil {
		t.draft.Close()
		t.draft = nil
	}
}
