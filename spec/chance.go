package spec

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
