// Package luck counts how often guesses prove right.
package luck

const (
	// Memory is after how many guesses one counts for little: a text's pace changes.
	Memory = 96
	// assumedRight is the chance that the first guesses are assumed to have, and assumedTried how many guesses that
	// assumption is worth.
	assumedRight = 0.8
	assumedTried = 1.5
)

// Chance is how often guesses of one kind proved right, the more recent ones counting more.
type Chance struct{ Right, Tried float64 }

// Assumed returns the chance of guesses of which nothing is known: a good one, so that they are tried.
func Assumed() Chance { return Chance{assumedRight * assumedTried, assumedTried} }

// Learn takes in whether a guess was right.
func (c *Chance) Learn(right bool) {
	const fade = 1 - 1.0/Memory
	c.Right, c.Tried = c.Right*fade, c.Tried*fade+1
	if right {
		c.Right++
	}
}

// LearnDraft takes in a draft: how many guesses were right, and whether the one after them was wrong.
func (c *Chance) LearnDraft(accepted int, rejected bool) {
	for range accepted {
		c.Learn(true)
	}
	if rejected {
		c.Learn(false)
	}
}

// Rate is the probability that a guess is right after right ones. Something must have been assumed or learned.
func (c *Chance) Rate() float64 { return c.Right / c.Tried }

// Near is the probability that such a guess is right: near that of all where little is known.
func (c *Chance) Near(all float64) float64 { return (c.Right + 4*all) / (c.Tried + 4) }

// margins are the limits of bands, in each of which guesses are counted for themselves.
var margins = [...]float64{0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5}

// Bands is the number of bands.
const Bands = len(margins) + 1

// Band returns the number of the band that the margin of a guess lies in, see runtime.Sampler.DrawMargin.
func Band(margin float64) int {
	for i, limit := range margins {
		if margin < limit {
			return i
		}
	}
	return len(margins)
}
