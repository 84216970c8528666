package engine

import (
	"slices"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/generation"
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

	drawn []Token // in this step
	err   error   // of this step's draws
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
	return &text{job: j, choice: choice, generation: g, sampler: sampler, tokens: slices.Clone(j.Prompt)}, nil
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
	return Outcome{Outcome: t.generation.Outcome(), Preempted: t.preempted}
}

// draw takes the tokens that the logits give: one, and one more after each guess of the draft that was right. It runs
// beside the draws of other texts.
func (t *text) draw(logits [][]float32, draft []int32) {
	t.drawn = t.drawn[:0]
	if t.err != nil {
		return
	}
	for agreed := true; agreed && !t.generation.Done(); {
		i := len(t.drawn)
		id, err := t.sampler.Draw(logits[i], t.tokens)
		if err != nil {
			t.err = err
			return
		}
		token, err := t.generation.Accept(id)
		if err != nil {
			t.err = err
			return
		}
		t.tokens = append(t.tokens, id)
		t.drawn = append(t.drawn, Token{Token: token, Choice: t.choice})
		agreed = i < len(draft) && draft[i] == id
	}
}

// release gives the pages of the text back.
func (t *text) release() {
	if t.session != nil {
		t.session.Close()
		t.session = nil
	}
}
