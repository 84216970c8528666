package engine

import "github.com/tti-llm/tti/runtime/forward"

// curve is how long a pass takes by its number of rows, as measured while the engine runs: the machine, the model, the kernels
// and what else is going on decide that, and nobody needs to configure it. Rows beyond one pass take further passes.
type curve struct {
	points   [forward.MaxRows + 1]measured
	filled   [forward.MaxRows + 1]float64 // seconds, what is not known lately estimated from what is
	measures int                          // so far
}

// measured is the typical time of a pass. What disturbs a measurement makes it longer, so short ones count more.
type measured struct {
	seconds float64
	samples int
	at      int // number of the latest measurement
}

const (
	// stale is after how many measurements an old one tells nothing of now.
	stale = 500
	// followUp and followDown are the weights of a measurement that is longer or shorter than the mean.
	followUp, followDown = 0.1, 0.3
	// outlier is the largest multiple of the mean that a measurement counts as.
	outlier = 2
	// rising is how much longer a pass over fewer rows may seem than one over more: beyond that the machine has changed.
	rising = 1.05
)

// add takes in the time of a batch.
func (c *curve) add(rows int, seconds float64) {
	if rows > forward.MaxRows { // how the time is shared among passes is not known
		return
	}
	c.measures++
	p := &c.points[rows]
	if !c.fresh(rows) {
		*p = measured{seconds: seconds}
	}
	weight := followUp
	if seconds < p.seconds {
		weight = followDown
	}
	p.samples++
	p.at = c.measures
	p.seconds += max(weight, 1/float64(p.samples)) * (min(seconds, outlier*p.seconds) - p.seconds)
	for fewer := 1; fewer < rows; fewer++ {
		c.points[fewer].seconds = min(c.points[fewer].seconds, rising*p.seconds)
	}
	c.fill()
}

func (c *curve) fresh(rows int) bool {
	p := c.points[rows]
	return p.samples > 0 && c.measures-p.at <= stale
}

// fill estimates every number of rows: on the line between the nearest that are known; below the first of them as long as that;
// beyond the last as if time grew with the rows. The last is more than they will take, so what was never tried is
// approached in steps.
func (c *curve) fill() {
	below := 0
	for rows := 1; rows <= forward.MaxRows; rows++ {
		if !c.fresh(rows) {
			continue
		}
		known := c.points[rows].seconds
		for between := below + 1; between <= rows; between++ {
			if c.filled[between] = known; below > 0 {
				from := c.points[below].seconds
				c.filled[between] = from + (known-from)*float64(between-below)/float64(rows-below)
			}
		}
		below = rows
	}
	for rows := below + 1; below > 0 && rows <= forward.MaxRows; rows++ {
		c.filled[rows] = c.points[below].seconds * float64(rows) / float64(below)
	}
}

// seconds estimates how long a batch takes, 0 if nothing has been measured yet.
func (c *curve) seconds(rows int) float64 {
	return float64(rows/forward.MaxRows)*c.filled[forward.MaxRows] + c.filled[rows%forward.MaxRows]
}

// hopeful is seconds that assumes little of rows that were never tried, for those who can afford to try.
func (c *curve) hopeful(rows int) float64 {
	last := min(rows, forward.MaxRows)
	for last > 0 && !c.fresh(last) {
		last--
	}
	if last == 0 || rows > forward.MaxRows {
		return c.seconds(rows)
	}
	return min(c.seconds(rows), c.points[last].seconds*(1+assumedRow*float64(rows-last)))
}

// beside returns how many rows more go along with some, such that the batch takes at most stretch times as long: at least
// one. Nobody waits for a batch that has no rows but those, so that may be a whole pass.
func (c *curve) beside(rows int, stretch float64) int {
	if rows == 0 {
		return forward.MaxRows
	}
	most := stretch * c.seconds(rows)
	more := 1
	for more < forward.MaxRows && c.seconds(rows+more+1) <= most {
		more++
	}
	return more
}
