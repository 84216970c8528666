package spec

import (
	"math"
	"time"
)

// controller decides whether to draft, with which drafter and how much. It knows what has been
// measured: how long a pass of the target over k guesses takes, how long a drafter takes for a guess,
// and how often guesses proved right. With a the probability that a guess is right after right ones,
// a draft of k yields (1-a^(k+1)) / (1-a) tokens on average, the target's own included; what promises
// the most tokens per second is chosen, which may be no draft at all. A drafter that knows how sure it
// is of each guess goes on for as long as the guesses so far make another one worth its time.
//
// Where nothing has been measured it assumes the best within reason, so that it tries, and what
// does not keep the promise is not chosen again. A drafter that does not pay is tried again after a
// pause that doubles each time, and trying never costs more than a small share of the time. When the
// whole machine becomes slower or faster, everything that was measured is rescaled.
//
// It knows nothing of tokens, and no token depends on it.
type controller struct {
	passes   [MaxLength + 1]estimate // of the target, by the number of guesses
	draw     estimate                // of one token
	drafters []drafterCost
	arms     [][Classes]arm // by drafter
	draft    draft          // the latest that was chosen
	pace     pace           // of the machine

	rounds    int     // learned from, of all texts
	longest   int     // draft so far, of those that are remembered
	latest    int     // number of guesses in the round before
	generated int     // tokens of this text
	elapsed   float64 // seconds, for all of them
	lost      float64 // seconds, against plain decoding; negative where it was faster
}

type drafterCost struct {
	first  estimate // of the first guess, before which the drafter takes in what has come true
	next   estimate // of each further one
	behind estimate // of running one token of the text that it lacks
	bands  [len(margins) + 1]chance
	// doubted says that in this text the only measurement of a draft was discarded.
	doubted bool
	resting bool // it was not worth using when it was last considered
}

// doubt discards, once in a text, what is known from a single draft: it may have been disturbed, and if
// that made drafting look bad, there would be no other.
func (d *drafterCost) doubt() {
	if d.first.samples == 1 && !d.doubted {
		d.first, d.next, d.doubted = estimate{}, estimate{}, true
	}
}

// margins are the limits of bands, in each of which guesses are counted for themselves.
var margins = [...]float64{0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5}

// band returns the number of the band that a margin lies in.
func band(margin float64) int {
	for i, limit := range margins {
		if margin < limit {
			return i
		}
	}
	return len(margins)
}

// draft is what choose has decided, and how it goes.
type draft struct {
	drafter int
	offer   Offer
	most    int     // guesses that may be
	rate    float64 // tokens per second that are to be had
	sure    float64 // probability that all guesses so far are right
	bands   []int   // of their margins
}

const (
	// assumedGuess and assumedToken are the assumed costs of a guess, and of a guess's share in a
	// pass, as parts of plain decoding's time for a token.
	assumedGuess = 0.1
	assumedToken = 0.05
	// assumedNext is the assumed cost of a further guess, as a part of that of the first.
	assumedNext = 0.8
	// assumedBatch is the assumed cost of a token among many, as a part of that of a guess.
	assumedBatch = 0.3
	// optimism is by how much passes that were not measured are taken to be cheaper than their
	// neighbours suggest.
	optimism = 0.05
	// stale is the number of rounds after which a pass is worth another measurement.
	stale = 150
	// doubtful is the number of rounds after which a single measurement is.
	doubtful = 16
	// catchUpRounds is over how many rounds the cost of catching up is spread.
	catchUpRounds = 16
	// allowedTokens and allowedShare bound what drafting may cost in sum where it does not pay: the
	// time of some tokens, and a share of the time so far. Together they are below 5 % from 256
	// tokens on.
	allowedTokens = 3
	allowedShare  = 0.02
	// reserve is how many drafts of several guesses the rest of that must be enough for, before one is made: bad luck
	// with long ones has to leave something to try short ones with. A drafter that must rest falls behind, until
	// catching up would cost more than may be lost.
	reserve = 2
)

func newController(drafters int) controller {
	c := controller{drafters: make([]drafterCost, drafters), arms: make([][Classes]arm, drafters)}
	for i := range c.arms {
		for j := range c.arms[i] {
			c.arms[i][j].idle = 1
		}
	}
	c.begin()
	return c
}

// begin starts a text. What did not pay at the end of the one before may pay in this one, and what was
// measured of it long ago may be wrong by now: it is forgotten.
func (c *controller) begin() {
	c.generated, c.elapsed, c.lost = 0, 0, 0
	drafting := false
	for i := range c.arms {
		for j := range c.arms[i] {
			if a := &c.arms[i][j]; a.idle > 0 {
				a.reset()
				a.pause = firstPause
			}
		}
		d := &c.drafters[i]
		if d.doubted = false; d.resting {
			d.first, d.next, d.behind = estimate{}, estimate{}, estimate{}
		}
		drafting = drafting || !d.resting
	}
	if !drafting {
		clear(c.passes[1:])
		c.longest = 0
	}
}

// choose returns the drafter and the number of guesses that promise most, 0 guesses for none.
func (c *controller) choose(offers []Offer) (drafter, length int) {
	// Everything is compared with plain decoding, so that is measured often at first.
	if p := &c.passes[0]; !p.known() || c.rounds-p.at > min(stale, 4<<min(p.samples, 10)) {
		return 0, 0
	}
	plain := c.plain()
	best := 1 / plain
	for i, offer := range offers {
		if offer.Length == 0 {
			continue
		}
		switch k, most, rate := c.bestLength(i, offer); {
		case k == 0 || rate <= 1/plain:
			c.drafters[i].resting = true
			if c.arms[i][offer.Class].rest() {
				c.drafters[i].doubt()
			}
		case rate > best:
			best, drafter, length = rate, i, k
			if offer.Margins {
				length = most
			}
			c.draft = draft{drafter: i, offer: offer, most: length, rate: rate, sure: 1, bands: c.draft.bands[:0]}
		}
	}
	return drafter, length
}

// bestLength returns the number of guesses with which a drafter promises the most tokens per
// second, and how many those are. It is 0 if any guess could lose more than may be lost; most is how
// many cannot. What was never tried is approached in steps.
func (c *controller) bestLength(drafter int, offer Offer) (length, most int, best float64) {
	a := c.arms[drafter][offer.Class].rate()
	catchUp := c.catchUp(drafter, offer)
	tokens, right := 1.0, 1.0
	for k := 1; k <= min(offer.Length, 2*c.longest+2); k++ {
		right *= a
		tokens += right
		time := c.guesses(drafter, k) + c.pass(k)
		risk := time + catchUp - c.passes[0].mean
		if k > 1 {
			risk *= reserve
		}
		if risk > c.allowance() {
			break
		}
		most = k
		if rate := tokens / (time + catchUp/catchUpRounds + tokens*c.draw.mean); rate > best {
			length, best = k, rate
		}
	}
	return length, most, best
}

// more takes in the margin of another guess of the draft that was chosen, and how long the first one took, and
// reports whether a further one, or several, would bring more tokens than their time is worth. The drafter's first draft
// ends with a guess that took longer than a token of the target.
func (c *controller) more(margin float64, first time.Duration) bool {
	d := &c.draft
	a := c.arms[d.drafter][d.offer.Class].rate()
	b := band(margin)
	d.bands = append(d.bands, b)
	d.sure *= c.drafters[d.drafter].bands[b].near(a)
	count := len(d.bands)
	if !c.drafters[d.drafter].first.known() && first.Seconds() > c.plain() {
		return false
	}
	tokens, right := 0.0, d.sure
	for k := count + 1; k <= d.most; k++ {
		right *= a
		tokens += right
		time := c.guesses(d.drafter, k) - c.guesses(d.drafter, count) + c.pass(k) - c.pass(count) + tokens*c.draw.mean
		if tokens > d.rate*time {
			return true
		}
	}
	return false
}

// allowance is the time that may still be lost against plain decoding.
func (c *controller) allowance() float64 {
	return allowedTokens*c.plain() + allowedShare*c.elapsed - c.lost
}

// plain is the time of plain decoding for a token.
func (c *controller) plain() float64 { return c.passes[0].mean + c.draw.mean }

// guesses is the time of k guesses.
func (c *controller) guesses(drafter, k int) float64 {
	d := &c.drafters[drafter]
	switch further := float64(k - 1); {
	case !d.first.known():
		return assumedGuess * c.plain() * float64(k)
	case !d.next.fresh(c.rounds):
		return d.first.mean * (1 + assumedNext*further)
	default:
		return d.first.mean + further*d.next.mean
	}
}

// catchUp is the time to run what the drafter lacks. The prompt does not count: it has to be run once
// for any gain. Two tokens, the target's own and the guess before it, belong to every round.
func (c *controller) catchUp(drafter int, offer Offer) float64 {
	return float64(max(0, min(offer.Behind, c.generated)-ownTokens)) * c.behind(drafter)
}

const ownTokens = 2

// behind is the time to run one token of the text, among others.
func (c *controller) behind(drafter int) float64 {
	if cost := c.drafters[drafter].behind; cost.known() {
		return cost.mean
	}
	return assumedBatch * c.guesses(drafter, 1)
}

// pass is the time of a pass that checks k guesses. Where that was not measured lately, or only once and some
// time ago, when it may have been disturbed, the other passes tell.
func (c *controller) pass(k int) float64 {
	p := &c.passes[k]
	switch {
	case k > 0 && !p.fresh(c.rounds):
		return c.line(k)
	case k > 0 && p.samples == 1 && c.rounds-p.at > doubtful:
		return min(p.mean, c.line(k))
	}
	return p.mean
}

// line is where a pass lies between the nearest ones that were measured lately, or how they go on, with some
// optimism.
func (c *controller) line(k int) float64 {
	below, above := k-1, k+1
	for below > 0 && !c.passes[below].fresh(c.rounds) {
		below--
	}
	for above <= MaxLength && !c.passes[above].fresh(c.rounds) {
		above++
	}
	base, slope := c.passes[below].mean, assumedToken*c.plain()
	switch {
	case above <= MaxLength:
		slope = (c.passes[above].mean - base) / float64(above-below)
	case below > 0:
		slope = (base - c.passes[0].mean) / float64(below)
	}
	return (1 - optimism) * (base + slope*float64(k-below))
}

// learn takes in what a round has shown.
func (c *controller) learn(r round) {
	if r.tokens == 0 {
		return
	}
	c.rounds++
	c.longest = max(c.longest, r.drafted)
	c.generated += r.tokens
	if c.ordinary(r) {
		c.learnTimes(r)
	}
	c.latest = r.drafted

	gained, cost := float64(r.tokens)*c.plain(), c.passes[r.drafted].mean+float64(r.tokens)*c.draw.mean
	if r.drafted > 0 {
		c.learnBands(r)
		cost += c.guesses(r.drafter, r.drafted) + c.catchUp(r.drafter, r.offer)
		c.arms[r.drafter][r.offer.Class].learn(r, gained-cost)
	}
	c.elapsed += cost
	c.lost = max(c.lost+cost-gained, -allowedTokens*c.plain())
}

// ordinary reports whether the times of a round are to be learned: not while it is unclear whether
// the machine has changed its pace.
func (c *controller) ordinary(r round) bool {
	pass := c.passes[r.drafted]
	if pass.samples < settled {
		return true
	}
	change := c.pace.follow(r.passTime.Seconds() / pass.mean)
	if change != 1 {
		c.rescale(change)
	}
	return c.pace.off == 0
}

func (c *controller) learnTimes(r round) {
	passTime := r.passTime.Seconds()
	if pass := &c.passes[r.drafted]; r.drafted > 0 && !pass.fresh(c.rounds) {
		passTime = min(passTime, 2*c.pass(r.drafted)) // or a disturbance would be the last measurement
	}
	// Plain decoding is faster when it follows itself: a draft model leaves its own weights in the caches.
	if warm := c.latest == 0; r.drafted > 0 || warm || !c.passes[0].known() {
		c.passes[r.drafted].add(passTime, c.rounds)
	}
	// More tokens never take less time: if they seem to, the machine has become faster since.
	for k := range r.drafted {
		c.passes[k].mean = min(c.passes[k].mean, (1+optimism)*c.passes[r.drafted].mean)
	}
	c.draw.add(r.drawTime.Seconds()/float64(r.tokens), c.rounds)
	if r.drafted > 0 {
		c.learnDraft(r)
	}
}

// pace notices when the whole machine has become slower or faster, because others have begun or
// ended their work on it: then estimates that were made before can no longer be compared with those
// made after.
type pace struct {
	off    int     // passes in a row that took longer than expected, or that took less
	change float64 // the smallest of their ratios to what was expected
}

const (
	// settled is the number of measurements after which a pass is known well enough to judge by.
	settled = 5
	// unusual is the ratio from which a time is not what was expected, and unusualPasses in a row are
	// no coincidence.
	unusual       = 1.25
	unusualPasses = 3
)

// follow takes in the ratio of a pass's time to what was expected and returns by how much the machine
// has become slower, 1 if it is as it was or that is not clear yet.
func (p *pace) follow(ratio float64) (change float64) {
	slower, faster := ratio > unusual, ratio < 1/unusual
	switch {
	case !slower && !faster:
		p.off = 0
	case p.off > 0 && slower == (p.change > 1):
		p.off++
		if math.Abs(math.Log(ratio)) < math.Abs(math.Log(p.change)) {
			p.change = ratio
		}
	default:
		p.off, p.change = 1, ratio
	}
	if p.off < unusualPasses {
		return 1
	}
	p.off = 0
	return p.change
}

// rescale changes everything that is in seconds.
func (c *controller) rescale(change float64) {
	scale := func(e *estimate) { e.mean *= change }
	for i := range c.passes {
		scale(&c.passes[i])
	}
	scale(&c.draw)
	for i := range c.drafters {
		scale(&c.drafters[i].first)
		scale(&c.drafters[i].next)
		scale(&c.drafters[i].behind)
		for j := range c.arms[i] {
			c.arms[i][j].gained *= change
		}
	}
	c.elapsed *= change
	c.lost *= change
}

func (c *controller) learnDraft(r round) {
	costs := &c.drafters[r.drafter]
	costs.resting = false
	first, all := r.firstTime.Seconds(), r.draftTime.Seconds()
	if first == 0 { // the drafter did not tell
		first = all / float64(r.drafted)
	}
	if r.drafted > 1 {
		costs.next.add((all-first)/float64(r.drafted-1), c.rounds)
	}
	behind := r.offer.Behind - ownTokens
	switch {
	case behind <= 0:
		costs.first.add(first, c.rounds)
	case costs.first.known():
		costs.behind.add(max(0, first-costs.first.mean)/float64(behind), c.rounds)
	default:
		costs.first.add(first/(1+assumedBatch*float64(behind)), c.rounds)
	}
	costs.next.mean = min(costs.next.mean, (1+optimism)*costs.first.mean)
}

// learnBands counts the guesses of a draft by their margins.
func (c *controller) learnBands(r round) {
	if len(c.draft.bands) < r.drafted {
		return // the drafter told no margins
	}
	bands := &c.drafters[r.drafter].bands
	for _, b := range c.draft.bands[:r.accepted] {
		bands[b].learn(true)
	}
	if r.rejected {
		bands[c.draft.bands[r.accepted]].learn(false)
	}
}

// chance is how often guesses of one kind proved right, the more recent ones counting more.
type chance struct{ right, tried float64 }

func (c *chance) learn(right bool) {
	const fade = 1 - 1.0/memory
	c.right, c.tried = c.right*fade, c.tried*fade+1
	if right {
		c.right++
	}
}

// near is the probability that such a guess is right: near that of all where little is known.
func (c *chance) near(all float64) float64 { return (c.right + 4*all) / (c.tried + 4) }

// arm is how good the guesses of one drafter are that look equally good.
type arm struct {
	chance
	gained float64 // seconds, since the last reset
	idle   int     // rounds in which it was not worth using
	pause  int     // such rounds before it is tried again
}

const (
	// The first guesses are assumed to be right with a good chance.
	assumedRight = 0.8
	assumedTried = 1.5
	// memory is after how many guesses one counts for little: a text's pace changes.
	memory     = 96
	firstPause = 8
	lastPause  = 1024
)

func (a *arm) reset() {
	a.chance = chance{assumedRight * assumedTried, assumedTried}
	a.gained, a.idle = 0, 0
}

// rate is the probability that a guess is right after right ones.
func (a *arm) rate() float64 { return a.right / a.tried }

func (a *arm) learn(r round, gained float64) {
	for range r.accepted {
		a.chance.learn(true)
	}
	if r.rejected {
		a.chance.learn(false)
	}
	a.gained += gained
	a.idle = 0
}

// rest counts a round in which the arm could have been used, but was not worth it, and reports
// whether it is to be tried again.
func (a *arm) rest() bool {
	if a.idle++; a.idle < a.pause {
		return false
	}
	if a.gained > 0 {
		a.pause = firstPause
	} else {
		a.pause = min(2*a.pause, lastPause)
	}
	a.reset()
	return true
}

// estimate is the typical duration of something, in seconds. What disturbs a measurement makes it
// longer, so it follows short ones sooner than long ones, and no single one far.
type estimate struct {
	mean    float64
	samples int
	at      int // round of the latest sample
}

func (e *estimate) known() bool { return e.samples > 0 }

// fresh reports whether it is known from measurements that are not all stale.
func (e *estimate) fresh(round int) bool { return e.known() && round-e.at <= stale }

func (e *estimate) add(seconds float64, round int) {
	if !e.fresh(round) {
		e.samples = 0
	}
	e.at = round
	e.samples++
	if e.samples == 1 {
		e.mean = seconds
		return
	}
	weight := 0.1
	if seconds < e.mean {
		weight = 0.3
	}
	e.mean += max(weight, 1/float64(e.samples)) * (min(seconds, 2*e.mean) - e.mean)
}
