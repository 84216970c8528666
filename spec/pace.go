package spec

import (
	"math"
)

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
