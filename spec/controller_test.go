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

// best is the time for a text of n tokens of the fixed length that is best in hindsight.
func (w world) best(n int) float64 {
	best := w.total(n, 0, 0)
	for k := 1; k <= MaxLength; k++ {
		best = min(best, w.total(n, 0, k))
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

// worlds draws machines and drafts of all kinds, with costs and chances between the extremes.
func worlds(count int) (list []world) {
	random := rand.New(rand.NewPCG(41, 42))
	between := func(low, high float64) float64 { return low * math.Pow(high/low, random.Float64()) }
	for i := range count {
		guess := between(0.001, 0.4)
		list = append(list, world{
			acceptance: always(1 - between(0.05, 0.7)), guess: guess, start: float64(random.IntN(2)) * guess / 2,
			pass: passes[i%len(passes)].time, draw: between(0.005, 0.3), behind: guess / 3, jitter: 0.05,
		})
	}
	return list
}

// TestControllerIsNearTheBest simulates machines and drafts of all kinds: the controller must reach 95 % of the speed of the
// best fixed length in the same simulation. A text of 256 tokens is there to learn from.
func TestControllerIsNearTheBest(t *testing.T) {
	t.Parallel()
	const tokens = 1024
	for i, w := range worlds(40) {
		if ratio := w.best(tokens) / w.total(tokens, 256, -1); ratio < 0.95 {
			t.Errorf("world %d, %s, guess %.3f from %.3f on, acceptance %.3f, draw %.3f: %.3f of the best fixed length",
				i, passes[i%len(passes)].name, w.guess, w.start, w.acceptance(0), w.draw, ratio)
		}
	}
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
		for _, w := range worlds(16) {
			w.steady, w.disturbed = c.steady, c.disturbed
			ratio := w.best(1024) / w.total(1024, 256, -1)
			sum, lowest, cases = sum+ratio, min(lowest, ratio), cases+1
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
		best := w.best(1024)
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
