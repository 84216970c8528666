package spec

// estimate is the typical duration of something, in seconds. What disturbs a measurement makes it
// longer, so it follows short ones sooner than long ones, and no single one far.
type estimate struct {
	mean    float64
	samples int
	at      int // round of the latest sample
}

func (e *estimate) known() bool { return e.samples > 0 }

// fresh reports whether it is known from measurements that are not all stale.
func (e *estimate) fresh(round int) bool { return e.known() && round-e.at <= stale }

func (e *estimate) add(seconds float64, round int) {
	if !e.fresh(round) {
		e.samples = 0
	}
	e.at = round
	e.samples++
	if e.samples == 1 {
		e.mean = seconds
		return
	}
	weight := 0.1
	if seconds < e.mean {
		weight = 0.3
	}
	e.mean += max(weight, 1/float64(e.samples)) * (min(seconds, 2*e.mean) - e.mean)
}
