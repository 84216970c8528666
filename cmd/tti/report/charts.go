package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// charts are all pictures of a report. Each is a function of the report alone.
var charts = []chart{
	{"memory", "Memory", Report.memory},
	{"decode", "Decoding short texts", Report.decode},
	{"prefill", "Time to read a prompt", Report.prefill},
	{"tradeoff", "Size against speed", Report.tradeoff},
	{"errors", "Error of the weights", Report.errors},
	{"speculation", "Speculative decoding", Report.speculation},
	{"concurrency", "Many texts at once", Report.concurrency},
	{"depth", "Decoding deep in the context", Report.depth},
	{"roofline", "Share of the roofline", Report.roofline},
	{"perplexity", "Quality against size", Report.perplexity},
}

// chart is one picture: some figures side by side that share a title and a legend.
type chart struct {
	name, title string
	figures     func(Report) []figure // none if the report has nothing to show
}

// figure is what is plotted: numbers, and no choice of how they look but the kind.
type figure struct {
	x, y       string // titles of the axes, with units
	kind       kind
	series     []series
	categories []string // of bars, the points' x being their numbers
	logarithms bool     // on both axes
	fromZero   bool     // axes of dots
	reference  float64  // a horizontal line; 0: none
}

type kind int

const (
	bars  kind = iota // from zero
	lines             // through points, from zero unless logarithmic
	dots              // labelled, axes as the points ask for
)

// series is what belongs together. Its style is that of the mode or thing it stands for.
type series struct {
	name   string
	style  int
	points []point
}

// plain is the style of the only series of a figure.
const plain = 2

// point is a number with its spread; low and high are 0 where that is not known.
type point struct {
	x, y, low, high float64
	label           string // of bars and dots
}

// modes returns a series for every mode with the points that f gives.
func (r Report) modes(f func(m Mode) []point) []series {
	var all []series
	for i, m := range r.Modes {
		if points := f(m); len(points) > 0 {
			all = append(all, series{m.Name, i, points})
		}
	}
	return all
}

func (r Report) memory() []figure {
	kinds := []struct {
		name  string
		bytes func(Mode) int64
	}{
		{"file", func(m Mode) int64 { return m.FileBytes }},
		{"weights, resident once used", func(m Mode) int64 { return m.WeightBytes }},
		{"peak of the process", func(m Mode) int64 { return m.PeakBytes }},
	}
	f := figure{y: "MB", kind: bars}
	for i, k := range kinds {
		s := series{name: k.name, style: i}
		for j, m := range r.Modes {
			if bytes := k.bytes(m); bytes > 0 {
				s.points = append(s.points, point{x: float64(j), y: megabytes(bytes), label: significant(megabytes(bytes))})
			}
		}
		if len(s.points) > 0 {
			f.series = append(f.series, s)
		}
	}
	for _, m := range r.Modes {
		f.categories = append(f.categories, fmt.Sprintf("%s\n%.2f of %s", m.Name, r.ratio(m), r.Modes[0].Name))
	}
	return []figure{f}
}

// ratio returns the size of a file relative to that of the first one.
func (r Report) ratio(m Mode) float64 { return float64(m.FileBytes) / float64(r.Modes[0].FileBytes) }

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

func (r Report) decode() []figure {
	f := figure{x: "length of the text, in tokens", y: "tokens per second", kind: bars}
	f.series = r.modes(func(m Mode) (points []point) {
		for i, d := range m.Short {
			points = append(points, point{x: float64(i), y: d.Rate, low: d.Spread.Low, high: d.Spread.High})
		}
		return points
	})
	for _, n := range shortTexts {
		f.categories = append(f.categories, fmt.Sprint(n))
	}
	return []figure{f}
}

func (r Report) prefill() []figure {
	return []figure{{
		x: "length of the prompt, in tokens", y: "milliseconds", kind: lines, logarithms: true,
		series: r.modes(func(m Mode) (points []point) {
			for _, p := range m.Prefill { // without spreads, which would hide each other
				points = append(points, point{x: float64(p.Tokens), y: 1000 * float64(p.Tokens) / p.Rate})
			}
			return points
		}),
	}}
}

func (r Report) tradeoff() []figure {
	return []figure{{
		x: "size of the file, in MB", y: "tokens per second", kind: dots, fromZero: true,
		series: r.modes(func(m Mode) []point {
			if len(m.Short) == 0 {
				return nil
			}
			d := m.Short[len(m.Short)-1]
			return []point{{x: megabytes(m.FileBytes), y: d.Rate, low: d.Spread.Low, high: d.Spread.High, label: m.Name}}
		}),
	}}
}

func (r Report) errors() []figure {
	f := figure{x: "shape of the matrices, outputs × inputs", y: "mean |error| / mean |weight|, in %", kind: bars}
	for _, e := range r.Errors {
		category := shapeName(e.Shape)
		at := slices.Index(f.categories, category)
		if at < 0 {
			at, f.categories = len(f.categories), append(f.categories, category)
		}
		i := slices.IndexFunc(f.series, func(s series) bool { return s.name == e.Encoding })
		if i < 0 {
			style := slices.IndexFunc(r.Modes, func(m Mode) bool { return m.Name == e.Mode })
			i, f.series = len(f.series), append(f.series, series{name: e.Encoding, style: style})
		}
		s := &f.series[i]
		// A matrix has the same error in every mode that encodes it alike.
		if !slices.ContainsFunc(s.points, func(p point) bool { return p.x == float64(at) }) {
			s.points = append(s.points, point{x: float64(at), y: 100 * e.Relative, label: smallest(100 * e.Relative)})
		}
	}
	if len(f.series) == 0 {
		return nil
	}
	return []figure{f}
}

func shapeName(shape [2]int) string { return fmt.Sprintf("%d × %d", shape[0], shape[1]) }

func (r Report) speculation() []figure {
	if r.Speculation == nil {
		return nil
	}
	gain := figure{x: "guesses at a time", y: "speed-up", kind: bars, reference: 1}
	luck := figure{x: "guesses at a time", y: "acceptance rate, in %", kind: bars}
	var gains, rates []point
	for i, row := range r.Speculation.Rows {
		name := strings.TrimPrefix(row.Name, "k = ")
		if row.Length < 0 {
			name = "none"
		}
		gain.categories = append(gain.categories, name)
		gains = append(gains, point{x: float64(i), y: row.Speedup, label: fmt.Sprintf("%.2f", row.Speedup)})
		if row.Length >= 0 {
			luck.categories = append(luck.categories, name)
			rates = append(rates, point{x: float64(i - 1), y: 100 * row.Acceptance, label: fmt.Sprintf("%.0f", 100*row.Acceptance)})
		}
	}
	name := fmt.Sprintf("%s, draft %s", r.Speculation.Target, r.Speculation.Draft)
	gain.series, luck.series = []series{{name, plain, gains}}, []series{{name, plain, rates}}
	return []figure{gain, luck}
}

func (r Report) concurrency() []figure {
	if r.Concurrency == nil {
		return nil
	}
	rate := figure{x: "texts at once", y: "tokens per second, of all together", kind: lines}
	gap := figure{x: "texts at once", y: "milliseconds between a text's tokens", kind: lines}
	own, shared, pass := series{name: "prompts of their own", style: 2}, series{name: "prompts that begin alike", style: 3}, series{name: "single passes (the limit)", style: 0}
	median, late := series{name: "gaps: half are shorter", style: 2}, series{name: "99 of 100 are", style: 4}
	for _, row := range r.Concurrency.Rows {
		x := float64(row.Texts)
		at := point{x: x, y: row.Decode.Median, low: row.Decode.Low, high: row.Decode.High}
		if row.Shared {
			shared.points = append(shared.points, at)
			continue
		}
		own.points = append(own.points, at)
		pass.points = append(pass.points, point{x: x, y: row.OnePass.Median})
		median.points = append(median.points, point{x: x, y: row.Gap.P50})
		late.points = append(late.points, point{x: x, y: row.Gap.P99})
	}
	rate.series, gap.series = []series{own, shared, pass}, []series{median, late}
	return []figure{rate, gap}
}

func (r Report) depth() []figure {
	return []figure{{
		x: "positions of the context in use", y: "tokens per second", kind: lines,
		series: r.modes(func(m Mode) (points []point) {
			for _, d := range m.Deep {
				points = append(points, point{x: float64(d.Depth), y: d.Rate, low: d.Spread.Low, high: d.Spread.High})
			}
			return points
		}),
	}}
}

func (r Report) roofline() []figure {
	f := figure{y: "% of a plain read of the same bytes", kind: bars, reference: 100}
	s := series{name: "decoding " + fmt.Sprint(shortTexts[len(shortTexts)-1]) + " tokens", style: plain}
	for _, m := range r.Modes {
		if n := len(m.Short); n > 0 {
			share := 100 * m.Short[n-1].OfRoofline
			s.points = append(s.points, point{x: float64(len(f.categories)), y: share, label: fmt.Sprintf("%.0f", share)})
			f.categories = append(f.categories, m.Name)
		}
	}
	f.series = []series{s}
	return []figure{f}
}

func (r Report) perplexity() []figure {
	f := figure{x: "bits per weight", y: "perplexity of " + r.Text, kind: dots, series: r.modes(func(m Mode) []point {
		if m.Quality == nil {
			return nil
		}
		return []point{{x: m.BitsPerWeight, y: m.Quality.Perplexity, label: m.Name}}
	})}
	if len(f.series) == 0 {
		return nil
	}
	return []figure{f}
}

// significant returns a number with three digits, or more if it has them before the point.
func significant(x float64) string {
	if x == 0 {
		return "0"
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(math.Abs(x)))))
	return grouped(fmt.Sprintf("%.*f", min(decimals, 6), x))
}

// smallest returns a number as significant does, or that it is less than what is worth its digits.
func smallest(x float64) string {
	if x < 0.01 {
		return "< 0.01"
	}
	return significant(x)
}

// grouped puts commas between the thousands of a number without an exponent.
func grouped(digits string) string {
	whole, _, _ := strings.Cut(digits, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
