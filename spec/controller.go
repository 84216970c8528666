package spec

import (
	"time"

	"github.com/tti-llm/tti/spec/luck"
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
	a := c.arms[drafter][offer.Class].Rate()
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
	a := c.arms[d.drafter][d.offer.Class].Rate()
	b := luck.Band(margin)
	d.bands = append(d.bands, b)
	d.sure *= c.drafters[d.drafter].bands[b].Near(a)
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
