package spec

import "github.com/tti-llm/tti/spec/luck"

// drafterCost is how long a drafter takes, and how its guesses fare by their margins.
type drafterCost struct {
	first  estimate // of the first guess, before which the drafter takes in what has come true
	next   estimate // of each further one
	behind estimate // of running one token of the text that it lacks
	bands  [luck.Bands]luck.Chance
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

// ownTokens is how many tokens a draft model runs in every round.
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
