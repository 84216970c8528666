package spec

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
		bands[b].Learn(true)
	}
	if r.rejected {
		bands[c.draft.bands[r.accepted]].Learn(false)
	}
}
