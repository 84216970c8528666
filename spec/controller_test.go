package spec

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// world is a machine and a text, in units of the target's time for a token (pass and draw).
type world struct {
	acceptance func(at int) float64 // of a guess for the token with that number
	guess      float64
	start      float64             // of a draft, besides its guesses
	pass       func(k int) float64 // over k guesses; pass(0) + draw = 1
	draw       float64
	behind     float64              // running a token that the draft lacks
	jitter     float64              // relative, of every measurement
	margin     func(at int) float64 // of a guess, nil if the drafter does not tell
	steady     int                  // passes for which the machine keeps its pace on average; 0: for ever
	disturbed  float64              // share of measurements that take ten times as long
}

func always(a float64) func(int) float64 { return func(int) float64 { return a } }

// linear is a pass that takes the more the more guesses it checks.
func linear(slope float64) func(int) float64 {
	return func(k int) float64 { return 1 + slope*float64(k) }
}

// tiled is a pass that takes longer with every tile of four tokens.
func tiled(step float64) func(int) float64 {
	return func(k int) float64 { return 1 + step*float64(k/4) }
}

const unit = float64(time.Millisecond)

// decode lets a controller, or a fixed length where that is not negative, write n tokens. What others
// do on the machine, up to four times slower then, is not part of the time that it returns.
func (w world) decode(n, fixed int, c *controller, seed uint64) (elapsed float64) {
	random := rand.New(rand.NewPCG(seed, 1))
	others, slowness, left, disturbance := rand.New(rand.NewPCG(seed, 2)), 1.0, 0, 0.0
	duration := func(t float64) time.Duration {
		t *= unit * slowness * (1 + w.jitter*random.ExpFloat64())
		if w.disturbed > 0 && others.Float64() < w.disturbed {
			disturbance += 9 * t / slowness / unit
			t *= 10
		}
		return time.Duration(t)
	}
	c.begin()
	fed := 0
	for at := 0; at < n; {
		if left--; w.steady > 0 && left < 0 {
			left, slowness = others.IntN(2*w.steady), 1
			if others.IntN(2) == 0 {
				slowness += 3 * others.Float64()
			}
		}
		offer := Offer{Length: MaxLength, Behind: at + 1 - fed, Margins: w.margin != nil}
		r := round{drafter: -1}
		length := fixed
		if fixed < 0 {
			_, length = c.choose([]Offer{offer})
		}
		if length > 0 {
			first := duration(w.start + w.guess + float64(max(0, offer.Behind-ownTokens))*w.behind)
			for k := 1; k <= length && fixed < 0 && w.margin != nil; k++ {
				if !c.more(w.margin(at+k-1), first) {
					length = k
				}
			}
			r = round{offer: offer, drafted: length, firstTime: first, draftTime: first + duration(float64(length-1)*w.guess)}
		}
		for r.accepted < length && random.Float64() < w.acceptance(at+r.accepted) {
			r.accepted++
		}
		r.tokens, r.rejected = r.accepted+1, r.accepted < length
		r.passTime, r.drawTime = duration(w.pass(length)), duration(w.draw*float64(r.tokens))
		elapsed += (r.draftTime + r.passTime + r.drawTime).Seconds() / time.Millisecond.Seconds() / slowness
		if length > 0 {
			fed = at + min(r.accepted+1, length)
		}
		at += r.tokens
		if fixed < 0 {
			c.learn(r)
		}
	}
	return elapsed - disturbance
}

// theory is the largest gain over plain decoding that a fixed length gives.
func (w world) theory() float64 {
	best := 1.0
	a := w.acceptance(0)
	for k := 1; k <= MaxLength; k++ {
		tokens := (1 - math.Pow(a, float64(k+1))) / (1 - a)
		if gain := tokens * (1 + w.draw) / (w.start + float64(k)*w.guess + w.pass(k) + tokens*w.draw); gain > best {
			best = gain
		}
	}
	return best
}

// total is the time for a text of n tokens, over several seeds, of a fixed length or of a controller
// that has written a shorter text before and else knows nothing.
func (w world) total(n, before, fixed int) (sum float64) {
	for seed := range uint64(8) {
		c := newController(1)
		w.decode(before, fixed, &c, seed+100)
		sum += w.decode(n, fixed, &c, seed)
	}
	return sum
}

// passes are ways in which verification gets slower with the number of guesses.
var passes = []struct {
	name string
	time func(k int) float64
}{
	{"flat", linear(0.02)}, {"slope", linear(0.1)}, {"steep", linear(0.3)}, {"tiled", tiled(0.35)},
}

// TestControllerIsNearTheBest simulates machines and drafts of all kinds: the gain over plain
// decoding must reach 90 % of what theory gives for the best length, and 95 % of what the best
// fixed length reaches in the same simulation. A text of 256 tokens is there to learn from.
func TestControllerIsNearTheBest(t *testing.T) {
	const tokens = 1024
	lowestTheory, lowestFixed := 1.0, 1.0
	for _, pass := range passes {
		for _, guess := range []float64{0.001, 0.03, 0.13, 0.4} {
			for _, a := range []float64{0.3, 0.5, 0.7, 0.85, 0.95} {
				for _, start := range []float64{0, guess / 2} {
					for _, draw := range []float64{0.005, 0.3} {
						w := world{acceptance: always(a), guess: guess, start: start, pass: pass.time, draw: draw, behind: guess / 3, jitter: 0.05}
						adaptive, plain := w.total(tokens, 256, -1), w.total(tokens, 0, 0)
						best := plain
						for k := 1; k <= MaxLength; k++ {
							best = min(best, w.total(tokens, 0, k))
						}
						ofTheory, ofFixed := plain/adaptive/w.theory(), best/adaptive
						lowestTheory, lowestFixed = min(lowestTheory, ofTheory), min(lowestFixed, ofFixed)
						if ofTheory < 0.9 || ofFixed < 0.95 {
							t.Errorf("%s, guess %v from %v on, acceptance %v, draw %v: %.3f of theory, %.3f of the best fixed length",
								pass.name, guess, start, a, draw, ofTheory, ofFixed)
						}
					}
				}
			}
		}
	}
	t.Logf("at least %.3f of theory and %.3f of the best fixed length", lowestTheory, lowestFixed)
}

// TestHopelessDraftCostsLittle has guesses that are never right.
func TestHopelessDraftCostsLittle(t *testing.T) {
	highest := 0.0
	for _, tokens := range []int{256, 512, 2048} {
		for _, pass := range passes {
			for _, guess := range []float64{0.001, 0.03, 0.13, 0.4, 1, 3} {
				w := world{acceptance: always(0), guess: guess, pass: pass.time, draw: 0.01, behind: guess / 3, jitter: 0.05}
				for _, before := range []int{0, 256} {
					loss := w.total(tokens, before, -1)/w.total(tokens, 0, 0) - 1
					if highest = max(highest, loss); loss > 0.05 {
						t.Errorf("%d tokens, %s, guess %v, after %d: %.3f lost", tokens, pass.name, guess, before, loss)
					}
				}
			}
		}
	}
	t.Logf("at most %.3f lost", highest)
}

// TestControllerFollowsTheMachine has others come and go, so that what was measured a moment ago may
// be wrong by a factor of four, or disturbs single measurements: on average that must cost less than 3 %,
// and never more than a tenth.
func TestControllerFollowsTheMachine(t *testing.T) {
	for _, c := range []struct {
		steady    int
		disturbed float64
	}{{50, 0}, {300, 0}, {0, 0.01}, {0, 0.02}, {300, 0.02}} {
		sum, lowest, cases := 0.0, 1.0, 0.0
		for _, pass := range passes {
			for _, guess := range []float64{0.03, 0.13, 0.25} {
				for _, a := range []float64{0, 0.5, 0.7, 0.85, 0.95} {
					w := world{acceptance: always(a), guess: guess, pass: pass.time, draw: 0.01, behind: guess / 3, jitter: 0.05, steady: c.steady, disturbed: c.disturbed}
					best := w.total(1024, 0, 0)
					for k := 1; k <= MaxLength; k++ {
						best = min(best, w.total(1024, 0, k))
					}
					ratio := best / w.total(1024, 256, -1)
					sum, lowest, cases = sum+ratio, min(lowest, ratio), cases+1
				}
			}
		}
		if t.Logf("%+v: %.3f of the best fixed length on average, at least %.3f", c, sum/cases, lowest); sum/cases < 0.97 || lowest < 0.9 {
			t.Errorf("%+v: %.3f of the best fixed length on average, at least %.3f", c, sum/cases, lowest)
		}
	}
}

// TestControllerComesBack has a draft that becomes good, and one that becomes bad, half way.
func TestControllerComesBack(t *testing.T) {
	const tokens = 2048
	change := func(before, after float64) func(int) float64 {
		return func(at int) float64 {
			if at < tokens/2 {
				return before
			}
			return after
		}
	}
	for _, acceptance := range []func(int) float64{change(0, 0.9), change(0.9, 0)} {
		w := world{acceptance: acceptance, guess: 0.03, pass: linear(0.1), draw: 0.01, behind: 0.01, jitter: 0.05}
		good := w
		good.acceptance = always(0.9)
		ideal := (w.total(tokens/2, 0, 0) + good.total(tokens/2, 0, -1)) / w.total(tokens, 0, -1)
		if t.Logf("%.3f of the ideal", ideal); ideal < 0.8 {
			t.Errorf("%.3f of the ideal", ideal)
		}
	}
}

// TestUnsureDraftsAreCutShort has guesses that are either almost always right or rarely, and a drafter
// that knows which: that must be worth more than any fixed length on average, and never much less.
func TestUnsureDraftsAreCutShort(t *testing.T) {
	sure := func(at int) bool { return rand.New(rand.NewPCG(uint64(at), 3)).IntN(2) == 0 }
	pick := func(yes, no float64) func(int) float64 {
		return func(at int) float64 {
			if sure(at) {
				return yes
			}
			return no
		}
	}
	sum := 0.0
	for _, pass := range passes {
		w := world{acceptance: pick(0.97, 0.4), guess: 0.1, pass: pass.time, draw: 0.01, behind: 0.03, jitter: 0.05}
		best := w.total(1024, 0, 0)
		for k := 1; k <= MaxLength; k++ {
			best = min(best, w.total(1024, 0, k))
		}
		blind := w.total(1024, 256, -1)
		w.margin = pick(1.2, 0.3)
		gain := best / w.total(1024, 256, -1)
		if t.Logf("%s: %.3f of the best fixed length, %.3f without margins", pass.name, gain, best/blind); gain < 0.97 {
			t.Errorf("%s: %.3f of the best fixed length", pass.name, gain)
		}
		sum += gain
	}
	if mean := sum / float64(len(passes)); mean < 1.02 {
		t.Errorf("%.3f of the best fixed length on average", mean)
	}
}
