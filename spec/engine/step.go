package engine

import (
	"context"
	"slices"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// scheduler is what only the scheduler's goroutine touches.
type scheduler struct {
	texts []*text // admitted, the oldest first
	slots int     // taken by them, and by choices whose prompt is being run
	plan  []rows
	batch *runtime.Batch
	curve curve
	draws []draw

	prefixes prefixes
	guesser  guesser
}

// rows are what a step runs of one text.
type rows struct {
	text   *text
	tokens []int32 // that follow those of the session, the draft included
	draft  []int32 // the last of them, which are guesses
	class  int     // of an n-gram look-up that the draft is from
	bands  []int   // of the margins of a model's guesses; nil if it is not from one
	prompt bool    // a piece of what the text has to catch up with
	logits int     // of how many of them, the last ones, logits are wanted
}

// origin says who made the draft.
func (r *rows) origin() spec.Origin {
	if r.bands != nil {
		return spec.FromDraft
	}
	return spec.FromNGram
}

// draw is a text that takes what its rows of logits give.
type draw struct {
	text   *text
	logits [][]float32
	draft  []int32
	origin spec.Origin // of the draft
}

func newScheduler(m *runtime.Model, o Options) scheduler {
	return scheduler{batch: m.NewBatch(), prefixes: newPrefixes(m, o.Prefixes), guesser: newGuesser(o)}
}

// step runs one batch and draws what it gives.
func (e *Engine) step() {
	e.dropCancelled()
	e.plan = e.plan[:0]
	e.planDecoding()
	e.planDrafts()
	e.planPrompts()
	if len(e.plan) == 0 {
		return
	}
	if err := e.runPlan(); err != nil {
		e.failAll(err)
		return
	}
	e.takeAll()
	e.count(func(s *Statistics) { s.Prefixes = e.prefixes.PrefixStatistics })
}

// dropCancelled ends the requests that nobody wants any more.
func (e *Engine) dropCancelled() {
	for i := 0; i < len(e.texts); {
		if err := e.texts[i].job.cancelled(); err != nil {
			e.fail(e.texts[i].job, err)
			i = 0
		} else {
			i++
		}
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.waiting = slices.DeleteFunc(e.waiting, func(j *job) bool {
		err := j.cancelled()
		if err != nil {
			j.fail(err)
		}
		return err != nil
	})
}

// planDecoding plans the next token of every text that has caught up.
func (e *Engine) planDecoding() {
	for _, t := range e.texts {
		if t.decodes() {
			e.plan = append(e.plan, rows{text: t, tokens: t.pending(), logits: 1})
		}
	}
}

// planPrompts plans pieces of what texts have to catch up with, those of the oldest first, and admits waiting requests while
// there is time in the step and room in the pool.
func (e *Engine) planPrompts() {
	decoding := 0
	for _, r := range e.plan {
		decoding += len(r.tokens)
	}
	left, full := e.curve.beside(decoding, e.options.Stretch), false
	for i := 0; left > 0; i++ {
		if i == len(e.texts) && (full || !e.admit()) {
			return
		}
		t := e.texts[i]
		if t.decodes() {
			continue
		}
		if t.session == nil {
			// Whoever is younger waits too.
			if full = full || !e.begin(t); full {
				continue
			}
		}
		r := rows{text: t, tokens: t.pending(), prompt: true}
		r.tokens = r.tokens[:min(left, len(r.tokens))]
		r.logits = t.wanted(len(r.tokens))
		e.plan = append(e.plan, r)
		left -= len(r.tokens)
	}
}

// admit takes the next request from the queue, if there is one and its texts may run. Its first text runs the prompt; the
// others join when that is done.
func (e *Engine) admit() bool {
	running := map[string]int{}
	for _, t := range e.texts {
		running[t.job.Key]++
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	i := e.waiting.next(running)
	if i < 0 || e.slots+e.waiting[i].Choices > e.options.Texts {
		return false
	}
	job := e.waiting[i]
	e.waiting = slices.Delete(e.waiting, i, i+1)
	e.slots += job.Choices
	e.texts = append(e.texts, job.texts[0])
	e.statistics.Running = e.slots
	return true
}

// runBatch runs the rows of the plan in a batch.
func (e *Engine) runBatch() error {
	count, prefilled := 0, 0
	for _, r := range e.plan {
		if err := e.batch.Add(r.text.session, r.tokens, r.logits); err != nil {
			return err
		}
		if count += len(r.tokens); r.prompt {
			prefilled += len(r.tokens)
		}
	}
	start := time.Now()
	if err := e.batch.Run(context.Background()); err != nil {
		return err
	}
	e.curve.add(count, e.seconds(e.model, count, start))
	e.count(func(s *Statistics) {
		s.Steps++
		s.Prefilled += prefilled
	})
	return nil
}

// seconds returns how long a batch of a model took that began at start.
func (e *Engine) seconds(m *runtime.Model, rows int, start time.Time) float64 {
	if e.options.cost != nil {
		return e.options.cost(m, rows)
	}
	return time.Since(start).Seconds()
}

// takeAll draws the tokens of all texts whose rows gave logits, on the threads of the model, and delivers them.
func (e *Engine) takeAll() {
	e.draws = e.draws[:0]
	for i, r := range e.plan {
		if r.logits == 0 {
			continue
		}
		d := draw{r.text, slices.Clone(e.batch.Logits(i)), r.draft, r.origin()}
		e.draws = append(e.draws, d)
		e.joinChoices(d)
	}
	if err := e.model.Threads().Each(len(e.draws), func(i int) {
		e.draws[i].text.take(e.draws[i])
	}); err != nil {
		e.failAll(err)
		return
	}
	e.learnDrafts()
	for _, d := range e.draws {
		e.finishDraw(d.text)
	}
	clear(e.draws)
	clear(e.plan)
}

// joinChoices lets the further choices of a request begin, once the prompt has been run by the first: they share its pages,
// and draw from the same logits.
func (e *Engine) joinChoices(first draw) {
	job := first.text.job
	if first.text.choice > 0 || first.text.held() < len(job.Prompt) || len(first.text.tokens) > len(job.Prompt) || first.text.generation.Done() {
		return
	}
	last := first.logits[len(first.logits)-1:]
	place := slices.Index(e.texts, first.text)
	for i, t := range job.texts[1:] {
		session, err := first.text.session.Fork()
		t.session, t.err, t.cached = session, err, first.text.cached
		e.texts = slices.Insert(e.texts, place+1+i, t)
		e.draws = append(e.draws, draw{text: t, logits: last})
	}
}

// finishDraw delivers what a text has drawn, and ends it if that was the last.
func (e *Engine) finishDraw(t *text) {
	if t.job.finished() { // it has failed by another choice
		return
	}
	if t.err != nil {
		e.fail(t.job, t.err)
		return
	}
	t.session.Truncate(len(t.tokens) - 1)
	if first := len(t.drawn) == len(t.tokens)-len(t.job.Prompt); t.done() || first && len(t.drawn) > 0 {
		e.prefixes.keep(t.job.Key, t.session)
	}
	t.job.stream.deliverPrompt(t.scored)
	t.job.stream.deliver(t.choice, t.drawn, t.outcome())
	e.count(func(s *Statistics) { s.Tokens += len(t.drawn) })
	if t.done() {
		t.release()
		e.remove(t)
		if t.job.open--; t.job.finished() {
			t.job.stream.end(nil)
		}
	}
}

// fail ends a request that was admitted.
func (e *Engine) fail(j *job, err error) {
	joined := 0
	for _, t := range j.texts {
		t.release()
		if slices.Contains(e.texts, t) {
			e.remove(t)
			joined++
		}
	}
	e.slots -= j.open - joined // of choices that have not joined
	e.count(func(s *Statistics) { s.Running = e.slots })
	j.fail(err)
}

// fail ends the request's stream with an error.
func (j *job) fail(err error) {
	for _, t := range j.texts {
		if !t.done() {
			t.generation.Fail(err)
			j.stream.deliver(t.choice, nil, t.outcome())
		}
	}
	j.open = 0
	j.stream.end(err)
}

// remove takes a text off those that run.
func (e *Engine) remove(t *text) {
	e.texts = slices.DeleteFunc(e.texts, func(other *text) bool { return other == t })
	e.slots--
	e.count(func(s *Statistics) { s.Running = e.slots })
}
