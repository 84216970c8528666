package engine

import (
	"errors"
	"slices"

	"github.com/tti-llm/tti/runtime"
)

// runPlan runs the rows of the plan. Where the pool of pages is full it makes room first, at the cost of what can be computed
// again. The plan may be empty afterwards.
func (e *Engine) runPlan() error {
	for len(e.plan) > 0 {
		err := e.runBatch()
		if !errors.Is(err, runtime.ErrKVLimit) {
			return err
		}
		e.makeRoom(err)
	}
	return nil
}

// makeRoom gives pages back, or ends the need for some: first what guesses would need, then those of prefixes that nobody has
// used for long, then those of the youngest text. A text that has all pages for itself and needs more cannot be run: its request fails with the given
// error.
func (e *Engine) makeRoom(err error) {
	if e.withoutDrafts() || e.prefixes.evict() {
		return
	}
	var holders []*text
	for _, t := range e.texts {
		if t.session != nil {
			holders = append(holders, t)
		}
	}
	youngest := holders[len(holders)-1]
	if len(holders) == 1 {
		e.fail(youngest.job, err)
	} else {
		e.preempt(youngest)
	}
	e.plan = slices.DeleteFunc(e.plan, func(r rows) bool { return r.text.session == nil })
}

// withoutDrafts takes the guesses out of the plan, and reports whether there were any.
func (e *Engine) withoutDrafts() (any bool) {
	for i := range e.plan {
		if r := &e.plan[i]; len(r.draft) > 0 {
			r.tokens, r.draft, r.bands, r.logits, any = r.tokens[:len(r.tokens)-len(r.draft)], nil, nil, 1, true
			if r.text.draft != nil { // whose session holds guesses
				r.text.draft.Truncate(len(r.text.tokens))
			}
		}
	}
	return any
}

// preempt takes the pages of a text back. It is run again, from its first token on, once there is room.
func (e *Engine) preempt(t *text) {
	t.release()
	t.preempted++
	e.count(func(s *Statistics) { s.Preemptions++ })
}

// begin gives a text that holds no pages a session, with what is known of its tokens. It returns false if there is no room
// for the text beside the others.
func (e *Engine) begin(t *text) bool {
	looked := t.unscored == len(t.job.Prompt)
	if looked {
		// The last token's logits are needed.
		t.session = e.prefixes.start(t.job.Key, t.tokens[:len(t.tokens)-1])
	}
	if t.session == nil {
		t.session = e.model.NewSession()
	}
	if !e.hasRoom(t) {
		t.release()
		return false
	}
	if looked {
		e.prefixes.count(len(t.tokens)-1, t.held())
	}
	if t.preempted == 0 {
		t.cached = t.held()
	}
	return true
}

// hasRoom reports whether there are pages for all tokens of a text and of those that run already, with one more for each
// choice that will follow. Prefixes give way. Where nothing else runs there is nothing to wait for.
func (e *Engine) hasRoom(t *text) bool {
	limit := e.model.KVLimit()
	if limit == 0 {
		return true
	}
	page := e.model.KVPage()
	pages := func(positions int) int { return (positions + page - 1) / page }
	needed, alone := t.job.Choices, true
	for _, other := range e.texts {
		if other.session == nil {
			continue
		}
		alone = alone && other == t
		// What is shared up to the middle of a page takes a page to write on.
		needed += max(0, pages(len(other.tokens)+1)-other.held()/page)
	}
	for limit-e.model.KVTaken() < e.model.KVBytes(needed*page) {
		if alone || !e.prefixes.evict() {
			return alone
		}
	}
	return true
}
