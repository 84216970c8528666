package report

import "fmt"

// wide is how far apart the quartiles of a speed may lie, as a part of it, before the report warns: on a machine that does nothing else they lie
// within a tenth.
const wide = 0.25

// Unsteady returns a sentence about speeds whose quartiles lie far apart, "" if there are none.
func (r Report) Unsteady() string {
	count, all, most, of := 0, 0, 0.0, ""
	see := func(median, low, high float64, name string) {
		if median <= 0 {
			return
		}
		all++
		apart := (high - low) / median
		if apart > wide {
			count++
		}
		if apart > most {
			most, of = apart, name
		}
	}
	for _, m := range r.Modes {
		for _, d := range m.Short {
			see(d.Rate, d.Spread.Low, d.Spread.High, fmt.Sprintf("decoding %d tokens with %s", d.Tokens, m.Name))
		}
		for _, d := range m.Deep {
			see(d.Rate, d.Spread.Low, d.Spread.High, fmt.Sprintf("decoding at %d with %s", d.Depth, m.Name))
		}
		for _, p := range m.Prefill {
			see(p.Rate, p.Spread.Low, p.Spread.High, fmt.Sprintf("prompts of %d tokens with %s", p.Tokens, m.Name))
		}
	}
	if r.Speculation != nil {
		for _, row := range r.Speculation.Rows {
			see(row.Rate, row.RateLow, row.RateHigh, "speculation, "+row.Name)
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("The quartiles of %d of %d speeds lie more than %.0f %% apart (most of all %s, %.0f %%): the machine had other things to do. Measure again when it has not.",
		count, all, 100*wide, of, 100*most)
}
