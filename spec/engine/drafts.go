package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/forward"
	"github.com/tti-llm/tti/spec"
	"github.com/tti-llm/tti/spec/luck"
)

// guesser decides which guesses are checked in a step, of all texts together. A guess costs a row of the target's pass, one of
// a model's also a row of that model's, and brings a token if it and all guesses before it are right. Rows go to the guesses
// most likely to be, for as long as another one brings more tokens than the time is worth that it takes. The more texts run,
// the more a row costs beside what the weights' reading costs anyway, so drafts fade out by themselves.
//
// It belongs to the scheduler, and no token depends on it.
type guesser struct {
	ngram bool
	eager bool           // everything is worth checking: for tests
	model *runtime.Model // nil: none
	batch *runtime.Batch // of the model
	curve curve          // of the model's passes

	classes [spec.Classes]luckOf    // of n-gram look-ups
	all     luckOf                  // of the model's guesses
	bands   [luck.Bands]luck.Chance // of them, by their margins
	elapsed float64                 // seconds, of steps with decoding texts
	lost    float64                 // seconds, against steps without guesses; negative where they gained
	spent   float64                 // of these, by the model in the latest step
	plain   int                     // steps since one without guesses was measured
}

// luckOf is the chance of one kind of guesses, and since when they were not worth it.
type luckOf struct {
	luck.Chance
	idle  int // steps in which there were such guesses, none of them worth it
	pause int // such steps before they are tried again
}

const (
	// assumedGuess is the assumed cost of a model's guess, as a part of the target's step.
	assumedGuess = 0.1
	// assumedRow is the assumed cost of a row that is more than ever was run, as a part of the last that was.
	assumedRow = 0.05
	// allowedSteps and allowedShare bound what guessing may cost in sum where it does not pay: the time of some steps, and a
	// share of the time so far.
	allowedSteps = 2
	allowedShare = 0.01
	// comparing is after how many steps with guesses there is one without, to compare them with.
	comparing = 100
	// firstPause and lastPause bound after how many steps guesses are tried again that were not worth it; the pause doubles.
	firstPause, lastPause = 16, 2048
	// ownTokens is how many tokens a model that keeps up runs for its first guess: the target's own and the guess before it.
	ownTokens = 2
)

func newGuesser(o Options) guesser {
	g := guesser{ngram: o.NGram, eager: o.eager, model: o.Draft, all: luckOf{luck.Assumed(), 0, firstPause}}
	if g.model != nil {
		g.batch = g.model.NewBatch()
	}
	for i := range g.classes {
		g.classes[i] = g.all
	}
	return g
}

// use notes whether guesses that there could be are worth it, and reports whether they are to be tried again after a pause:
// the text, or the machine, may have changed.
func (l *luckOf) use(worth bool) (again bool) {
	if worth {
		l.idle = 0
		return false
	}
	if l.idle++; l.idle < l.pause {
		return false
	}
	l.Chance, l.idle, l.pause = luck.Assumed(), 0, min(2*l.pause, lastPause)
	return true
}

// candidate is what a text could have checked in this step.
type candidate struct {
	row   *rows
	draft []int32
	class int     // of an n-gram look-up
	alive float64 // probability that all guesses so far are right
	bands []int   // of a model's guesses
}

// value is what a step with guesses is worth: tokens for seconds.
type value struct{ tokens, seconds float64 }

// better reports whether a step has more tokens a second than another.
func (g *guesser) better(step, other value) bool {
	return g.eager || step.tokens*other.seconds > other.tokens*step.seconds
}

// planDrafts adds guesses to the rows of the plan, each of which decodes.
func (e *Engine) planDrafts() {
	g := &e.guesser
	base := e.curve.seconds(len(e.plan))
	if !g.ngram && g.model == nil || !g.eager && !e.curve.knows(len(e.plan)) {
		return
	}
	g.plain++
	if !g.eager && (g.lost > allowedSteps*base+allowedShare*g.elapsed || g.plain > comparing) {
		g.plain = 0
		return
	}
	now := value{float64(len(e.plan)), base}
	var looked, modelled []*candidate
	for i := range e.plan {
		c := &candidate{row: &e.plan[i], alive: 1}
		t := c.row.text
		if t.job.Plain || t.generation.Remaining() < 2 {
			continue
		}
		if c.draft, c.class = e.lookUp(t); len(c.draft) > 0 {
			looked = append(looked, c)
		} else {
			modelled = append(modelled, c)
		}
	}
	now = e.chooseLookedUp(looked, now)
	e.chooseModelled(modelled, now)
}

// most is how many guesses a text can have: a step gives a token more, and there must be positions for them.
func (e *Engine) most(t *text) int {
	return min(t.generation.Remaining()-1, spec.MaxLength, e.model.Shape().Context-len(t.tokens))
}

// lookUp returns what followed where the text's end stood before, as far as the text's constraint allows it.
func (e *Engine) lookUp(t *text) (draft []int32, class int) {
	if !e.guesser.ngram {
		return nil, 0
	}
	if t.ngram == nil {
		t.ngram = &spec.NGram{}
	}
	offer := t.ngram.Offer(t.tokens)
	length := min(offer.Length, e.most(t))
	if length < 1 {
		return nil, 0
	}
	draft, _ = t.ngram.Propose(context.Background(), t.tokens, length, nil, nil)
	if allowed := t.generation.Rules().Allowed; allowed != nil {
		t.guessing = append(t.guessing[:0], t.tokens[len(t.job.Prompt):]...)
		for i, id := range draft {
			if !allowed(t.guessing).Allows(id) {
				return draft[:i], offer.Class
			}
			t.guessing = append(t.guessing, id)
		}
	}
	return draft, offer.Class
}

// chooseLookedUp gives rows to the guesses of look-ups that are likely enough, and returns what the step is worth then.
func (e *Engine) chooseLookedUp(candidates []*candidate, now value) value {
	g := &e.guesser
	type guess struct {
		*candidate
		likely float64
	}
	var guesses []guess
	for _, c := range candidates {
		likely := 1.0
		for range c.draft {
			likely *= g.classes[c.class].Rate()
			guesses = append(guesses, guess{c, likely})
		}
	}
	// Those of a text are in order, because each is less likely than the one before.
	slices.SortStableFunc(guesses, func(a, b guess) int { return cmp.Compare(b.likely, a.likely) })
	count, rows, best, tokens := 0, int(now.tokens), now, now.tokens
	for i, guess := range guesses {
		if rows+i+1 > forward.MaxRows {
			break
		}
		tokens += guess.likely
		if v := (value{tokens, e.curve.hopeful(rows + i + 1)}); g.better(v, best) {
			count, best = i+1, v
		}
	}
	lengths := map[*candidate]int{}
	for _, guess := range guesses[:count] {
		lengths[guess.candidate]++
	}
	var offered, used [spec.Classes]bool
	for _, c := range candidates {
		offered[c.class] = true
		used[c.class] = used[c.class] || lengths[c] > 0
		if lengths[c] > 0 {
			c.add(c.draft[:lengths[c]], nil)
			c.row.class = c.class
		}
	}
	for class := range offered {
		if offered[class] {
			g.classes[class].use(used[class])
		}
	}
	return best
}

// add puts a draft behind the row's token.
func (c *candidate) add(draft []int32, bands []int) {
	t := c.row.text
	t.input = append(append(t.input[:0], c.row.tokens...), draft...)
	c.row.tokens, c.row.draft, c.row.bands = t.input, t.input[len(c.row.tokens):], bands
	c.row.logits = 1 + len(draft)
}

// chooseModelled lets the model guess for texts, a token each at a time, for as long as that is worth it.
func (e *Engine) chooseModelled(candidates []*candidate, now value) {
	g := &e.guesser
	if g.model == nil || len(candidates) == 0 {
		return
	}
	rows := 0
	for _, r := range e.plan {
		rows += len(r.tokens)
	}
	// worth returns of how many of the first of some texts, of which the likeliest come first, another guess is worth most.
	worth := func(texts []*candidate, rows int) (count int, best value) {
		best = now
		next, model := now, 0
		for i, c := range texts {
			if rows+i+1 > forward.MaxRows {
				break
			}
			if model++; len(c.draft) == 0 {
				model = model - 1 + ownTokens
			}
			next.tokens += c.alive * g.all.Rate()
			next.seconds = now.seconds + g.seconds(model, e.curve.seconds(rows)) + e.curve.hopeful(rows+i+1) - e.curve.hopeful(rows)
			if g.better(next, best) {
				count, best = i+1, next
			}
		}
		return count, best
	}
	if count, _ := worth(candidates, rows); count == 0 {
		if g.all.use(false) {
			g.curve = curve{} // whose only measurement may have been disturbed
		}
		return
	}
	g.spent = 0
	ready := slices.DeleteFunc(slices.Clone(candidates), func(c *candidate) bool { return e.behind(c.row.text) > ownTokens })
	for round := 0; round < spec.MaxLength && len(ready) > 0; round++ {
		slices.SortStableFunc(ready, func(a, b *candidate) int { return cmp.Compare(b.alive, a.alive) })
		count, next := worth(ready, rows)
		if ready = ready[:count]; count == 0 || e.guess(ready) != nil {
			break
		}
		g.all.use(true)
		now, rows = next, rows+count
		ready = slices.DeleteFunc(ready, func(c *candidate) bool {
			t := c.row.text
			return t.undrafted || len(c.draft) >= e.most(t) || len(t.tokens)+len(c.draft) > g.model.Shape().Context ||
				slices.Contains(e.model.Ends(), c.draft[len(c.draft)-1])
		})
	}
	for _, c := range candidates {
		if len(c.draft) > 0 {
			c.add(c.draft, c.bands)
		}
	}
	e.catchUp(candidates)
	g.lost += g.spent
}

// seconds estimates how long the model takes for a guess for each of some texts, beside a step of the target. Where it has run
// nothing but long pieces of prompts, these do not tell.
func (g *guesser) seconds(texts int, step float64) float64 {
	if g.curve.knows(texts) {
		return g.curve.seconds(texts)
	}
	assumed := assumedGuess * step
	if longer := g.curve.seconds(texts); longer > 0 {
		return min(longer, assumed)
	}
	return assumed
}

// behind is how many tokens of a text the model would have to run for its next guess: more than there can be if it has no
// positions for them.
func (e *Engine) behind(t *text) int {
	if t.undrafted || len(t.tokens) >= e.guesser.model.Shape().Context {
		return len(t.tokens) + ownTokens
	}
	if t.draft == nil {
		return len(t.tokens)
	}
	return len(t.tokens) - t.draft.Len()
}

// guess lets the model guess a token more for each of some texts.
func (e *Engine) guess(candidates []*candidate) error {
	for _, c := range candidates {
		t := c.row.text
		t.guessing = append(append(t.guessing[:0], t.tokens...), c.draft...)
	}
	if err := e.runModel(candidates, func(c *candidate) int { return len(c.row.text.guessing) }, 1); err != nil {
		return err
	}
	logits := make([][]float32, len(candidates))
	for i := range candidates {
		logits[i] = e.guesser.batch.Logits(i)[0]
	}
	return e.model.Threads().Each(len(candidates), func(i int) {
		c := candidates[i]
		t := c.row.text
		id, margin, err := t.sampler.DrawMargin(logits[i], t.guessing)
		if err != nil { // no token that the model knows is allowed
			t.undrafted = true
			return
		}
		band := luck.Band(margin)
		c.draft, c.bands = append(c.draft, id), append(c.bands, band)
		c.alive *= e.guesser.bands[band].Near(e.guesser.all.Rate())
	})
}

// runModel takes the model's sessions of some texts up to a length of what they are guessing.
func (e *Engine) runModel(candidates []*candidate, length func(*candidate) int, logits int) error {
	g := &e.guesser
	count := 0
	for _, c := range candidates {
		t := c.row.text
		if t.draft == nil {
			t.draft = g.model.NewSession()
		}
		next := slices.Clone(t.guessing[t.draft.Len():length(c)])
		spec.ReplaceUnknown(g.model, next)
		if err := g.batch.Add(t.draft, next, logits); err != nil {
			return e.dropDrafts(err)
		}
		count += len(next)
	}
	start := time.Now()
	if err := g.batch.Run(context.Background()); err != nil {
		return e.dropDrafts(err)
	}
	seconds := e.seconds(g.model, count, start)
	g.curve.add(count, seconds)
	g.spent += seconds
	return nil
}

// dropDrafts gives back all that the model holds where it cannot go on: its pool is full, or it is closed.
func (e *Engine) dropDrafts(err error) error {
	for _, t := range e.texts {
		t.releaseDraft()
	}
	e.guesser.batch = e.guesser.model.NewBatch()
	return err
}

// explored is after how many guesses it is known whether they are worth it.
const explored = 8

// catchUp lets the model run what it lacks of texts for which it may guess soon, those of the oldest first, a pass at most in
// a step. While it is not known whether its guesses are worth it, one text must do. A text's first time is not held against
// the model: without it there would be no guess, and a prompt takes the target longer.
func (e *Engine) catchUp(candidates []*candidate) {
	g := &e.guesser
	left := forward.MaxRows
	lengths := map[*candidate]int{}
	var late []*candidate
	again := false
	for _, c := range candidates {
		t := c.row.text
		behind := e.behind(t) - 1 // the last token is run for the guess
		if len(c.draft) > 0 || behind < ownTokens && t.draft != nil {
			if g.all.Tried < explored && !g.eager {
				return // this is the one
			}
			continue
		}
		if behind < 1 || behind > len(t.tokens) || left == 0 {
			continue
		}
		count := min(behind, left)
		left -= count
		lengths[c] = len(t.tokens) - 1 - behind + count
		t.guessing = append(t.guessing[:0], t.tokens...)
		late = append(late, c)
		if again = again || t.caughtUp; count == behind {
			t.caughtUp = true
		}
		if g.all.Tried < explored && !g.eager {
			break
		}
	}
	if len(late) == 0 {
		return
	}
	before := g.spent
	e.runModel(late, func(c *candidate) int { return lengths[c] }, 0) // fails as the next guess will
	if !again {
		g.spent = before
	}
}

// learnDrafts takes in what became of the guesses of a step.
func (e *Engine) learnDrafts() {
	g := &e.guesser
	if !g.ngram && g.model == nil {
		return
	}
	decoding, prompt, tokens, drafted := 0, 0, 0, 0
	for i := range e.plan {
		r := &e.plan[i]
		if r.prompt {
			prompt += len(r.tokens)
			continue
		}
		decoding++
		tokens += len(r.text.drawn)
		drafted += len(r.draft)
		e.learnDraft(r)
	}
	plain := e.curve.seconds(decoding)
	g.elapsed += plain
	if decoding == 0 || drafted == 0 {
		return
	}
	cost := e.curve.seconds(decoding+drafted+prompt) - e.curve.seconds(decoding+prompt)
	gain := float64(tokens-decoding) * plain / float64(decoding)
	g.lost += cost - gain
}

// learnDraft takes in what became of a row's guesses.
func (e *Engine) learnDraft(r *rows) {
	g, t := &e.guesser, r.text
	if len(r.draft) == 0 {
		return
	}
	accepted := 0
	for accepted < min(len(r.draft), len(t.drawn)) && r.draft[accepted] == t.drawn[accepted].ID {
		accepted++
	}
	rejected := accepted < min(len(r.draft), len(t.drawn))
	t.drafted += len(r.draft)
	t.accepted += accepted
	e.count(func(s *Statistics) {
		s.Drafted += len(r.draft)
		s.Accepted += accepted
	})
	if r.bands == nil {
		g.classes[r.class].LearnDraft(accepted, rejected)
		return
	}
	g.all.LearnDraft(accepted, rejected)
	for i := range accepted {
		g.bands[r.bands[i]].Learn(true)
	}
	if rejected {
		g.bands[r.bands[accepted]].Learn(false)
	}
	if t.draft != nil { // what proved wrong is forgotten
		t.draft.Truncate(len(t.tokens) - len(t.drawn) + accepted)
	}
}
