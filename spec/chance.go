package spec

import "github.com/tti-llm/tti/spec/luck"

// arm is how good the guesses of one drafter are that look equally good.
type arm struct {
	luck.Chance
	gained float64 // seconds, since the last reset
	idle   int     // rounds in which it was not worth using
	pause  int     // such rounds before it is tried again
}

const (
	firstPause = 8
	lastPause  = 1024
)

func (a *arm) reset() {
	a.Chance = luck.Assumed()
	a.gained, a.idle = 0, 0
}

func (a *arm) learn(r round, gained float64) {
	a.LearnDraft(r.accepted, r.rejected)
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
