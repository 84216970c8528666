package report

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	concurrency "github.com/tti-llm/tti/spec/engine/bench"
)

// committed is the report that README.md shows, as "make reports" wrote it.
const committed = "../../../testdata/report"

func read(t *testing.T) Report {
	t.Helper()
	r, err := Read(committed)
	if err != nil {
		t.Fatal(err)
	}
	if r.Concurrency == nil { // whose figures say nothing about so small a model
		r.Concurrency = madeUp()
	}
	return r
}

// madeUp returns what texts at once might have given, no two figures alike.
func madeUp() *Concurrency {
	c := &Concurrency{Mode: "int8", Result: concurrency.Result{Prompt: 64, Tokens: 128}}
	for i := range 8 {
		x := float64(i + 1)
		c.Rows = append(c.Rows, concurrency.Row{
			Texts: []int{1, 4, 16, 32}[i/2], Shared: i%2 == 1,
			Decode:     concurrency.Rate{Median: 100 * x, Low: 95 * x, High: 110 * x},
			OnePass:    concurrency.Rate{Median: 130 * x, Low: 120 * x, High: 140 * x},
			FirstToken: concurrency.Percentiles{P50: 20 * x, P99: 30 * x},
			Gap:        concurrency.Percentiles{P50: 3 * x, P99: 7 * x},
		})
	}
	return c
}

// TestMeasure makes a whole report about a tiny model, which is its own draft, and a text.
func TestMeasure(t *testing.T) {
	source, folder := t.TempDir(), t.TempDir()
	tiny := synthetic.Model{Vocabulary: 300, Context: 40, Embedding: 24, Layers: 1, Heads: 2}
	if err := synthetic.Write(t.Context(), source, tiny); err != nil {
		t.Fatal(err)
	}
	text, file, second := filepath.Join(folder, "text.txt"), filepath.Join(folder, "one.tti"), filepath.Join(folder, "two.tti")
	if err := os.WriteFile(text, []byte(strings.Repeat("Once upon a time. ", 20)), 0o666); err != nil {
		t.Fatal(err)
	}
	for path, o := range map[string]convert.Options{file: {Mode: convert.Int8}, second: {Mode: convert.Int4, Int4: convert.All}} {
		if err := convert.Convert(t.Context(), source, path, o); err != nil {
			t.Fatal(err)
		}
	}
	parts := map[string]bool{}
	r, err := Measure(t.Context(), Options{
		Models: []string{source, file, second}, Text: text, Threads: 1, Quick: true, Rounds: 1, Texts: []int{1, 2}, Progress: func(part string, done, total int64) {
			if parts[part] = true; done < 1 || done > total {
				t.Errorf("%s: %d of %d", part, done, total)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 5 || len(r.Modes) != len(modes)+2 || r.Modes[0].Name != filepath.Base(source)+" f32" || r.Modes[len(modes)].Name != "one" || r.Text != "text.txt" {
		t.Errorf("parts %v, report %+v", parts, r)
	}
	for _, m := range r.Modes {
		// What does not fit into 40 positions is left out: texts and prompts of 64 tokens, and depths.
		if m.FileBytes <= m.WeightBytes || m.Roofline <= 0 || len(m.Short) != 2 || len(m.Prefill) != 2 || len(m.Deep) == 0 || m.Quality == nil || m.Quality.Tokens == 0 {
			t.Errorf("mode %+v", m)
		}
	}
	// Files are compared with the first of their model, as modes are with the first of their source.
	for i, m := range r.Modes {
		if first := i == 0 || i == len(modes); first != (m.Quality.Divergence == 0) {
			t.Errorf("%s: first of its model %v, divergence %v", m.Name, first, m.Quality.Divergence)
		}
	}
	if s := r.Speculation; s == nil || s.Target != r.Modes[0].Name || s.Draft != r.Modes[len(modes)-1].Name || len(s.Rows) != 5 {
		t.Errorf("speculation %+v", s)
	}
	if c := r.Concurrency; c == nil || c.Mode != r.Modes[2].Name || len(c.Rows) != 4 {
		t.Errorf("concurrency %+v", c)
	}
	if len(r.Errors) == 0 || r.Errors[0].Mode != r.Modes[1].Name || !(r.Errors[0].Relative > 0) {
		t.Errorf("errors %+v", r.Errors)
	}

	if !reflect.DeepEqual(r.Models, []string{filepath.Base(source), "one.tti", "two.tti"}) || !strings.HasPrefix(r.Tool, "tti ") || len(r.Date) != len("2006-01-02") {
		t.Errorf("it is about %q, by %s on %s", r.Models, r.Tool, r.Date)
	}
	if text := r.markdown(); !strings.Contains(text, "one.tti, two.tti, by "+r.Tool+" on "+r.Date) {
		t.Errorf("it begins %.200q", text)
	}
	directory := filepath.Join(folder, "new", "report")
	if err := r.Write(directory); err != nil {
		t.Fatal(err)
	}
	again, err := Read(directory)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("read again: %+v (%v)", again, err)
	}
	checkFiles(t, r, directory)
}

// checkFiles checks that every chart that the report has is there, as two pictures that are not blank.
func checkFiles(t *testing.T, r Report, directory string) {
	t.Helper()
	for _, c := range charts {
		if len(c.figures(r)) == 0 {
			t.Errorf("%s: nothing to show", c.name)
			continue
		}
		contents, err := os.ReadFile(filepath.Join(directory, c.name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(contents))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		inked, colours := 0, map[any]int{}
		bounds := picture.Bounds()
		for y := range bounds.Dy() {
			for x := range bounds.Dx() {
				at := picture.At(x, y)
				if colours[at]++; at != picture.At(0, 0) {
					inked++
				}
			}
		}
		if share := float64(inked) / float64(bounds.Dx()*bounds.Dy()); bounds.Dx() != 1152 || bounds.Dy() != 720 || share < 0.01 || len(colours) < 10 {
			t.Errorf("%s: %v, %.3f inked, %d colours", c.name, bounds, share, len(colours))
		}
		svg, err := os.ReadFile(filepath.Join(directory, c.name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		written := textOf(t, svg)
		for _, f := range c.figures(r) {
			for _, title := range []string{c.title, f.x, f.y, c.figures(r)[0].note()} {
				if !written[title] {
					t.Errorf("%s: no %q in the SVG", c.name, title)
				}
			}
			for _, s := range f.series {
				for _, p := range s.points {
					if p.label != "" && !written[p.label] {
						t.Errorf("%s: no %q in the SVG", c.name, p.label)
					}
				}
			}
		}
	}
}

// textOf returns the texts of an SVG.
func textOf(t *testing.T, svg []byte) map[string]bool {
	t.Helper()
	texts := map[string]bool{"": true}
	for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok {
			texts[string(data)] = true
		}
	}
}

// TestChartsShowTheFigures compares what is plotted with report.json, found there by other ways than those
// of the charts. Every entry lists a chart's numbers in the order of figures, series and points.
func TestChartsShowTheFigures(t *testing.T) {
	r := read(t)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	// at returns the numbers under a path, in which * stands for all elements of a list.
	at := func(path string) []float64 { return numbers(t, object, strings.Fields(path)) }
	scaled := func(by float64, values []float64) []float64 {
		for i := range values {
			values[i] *= by
		}
		return values
	}
	inverse := func(values, times []float64) []float64 {
		for i := range values {
			values[i] = 1000 * times[i] / values[i]
		}
		return values
	}
	want := map[string][]float64{
		"memory": append(append(scaled(1e-6, at("modes * file_bytes")), scaled(1e-6, at("modes * weight_bytes"))...), scaled(1e-6, at("modes * peak_bytes"))...),
		"decode": at("modes * short * tok_s"), "tradeoff": at("modes * short 2 tok_s"), "depth": at("modes * deep * tok_s"),
		"prefill":     inverse(at("modes * prefill * tok_s"), at("modes * prefill * tokens")),
		"roofline":    scaled(100, at("modes * short 2 of_roofline")),
		"perplexity":  at("modes * quality perplexity"),
		"concurrency": concurrent(r, at),
		"speculation": append(at("speculation rows * speedup"), scaled(100, at("speculation rows * acceptance")[1:])...),
	}
	for _, c := range charts {
		var got []float64
		for _, f := range c.figures(r) {
			for _, s := range f.series {
				for _, p := range s.points {
					got = append(got, p.y)
				}
			}
		}
		if wanted, ok := want[c.name]; ok && !near(got, wanted) {
			t.Errorf("%s: plots %v, want %v", c.name, got, wanted)
		}
	}
	for _, s := range (Report).errors(r)[0].series { // each shape once, in any of the modes that have it
		for _, p := range s.points {
			shape := (Report).errors(r)[0].categories[int(p.x)]
			found := false
			for _, e := range r.Errors {
				found = found || e.Encoding == s.name && fmt.Sprintf("%d × %d", e.Shape[0], e.Shape[1]) == shape && p.y == 100*e.Relative
			}
			if !found {
				t.Errorf("errors: %s of %s is %v", s.name, shape, p.y)
			}
		}
	}
}

// concurrent lists the rows of texts with prompts of their own and of those with a common beginning apart; they alternate.
func concurrent(r Report, at func(path string) []float64) (list []float64) {
	for _, one := range []struct {
		first int
		path  string
	}{{0, "decode tok_s"}, {1, "decode tok_s"}, {0, "one_pass tok_s"}, {0, "gap_ms p50"}, {0, "gap_ms p99"}} {
		for i := one.first; i < len(r.Concurrency.Rows); i += 2 {
			list = append(list, at(fmt.Sprintf("concurrency rows %d %s", i, one.path))...)
		}
	}
	return list
}

func near(a, b []float64) bool {
	if len(a) != len(b) || len(a) == 0 {
		return false
	}
	for i := range a {
		if math.Abs(a[i]-b[i]) > 1e-9*math.Abs(b[i]) {
			return false
		}
	}
	return true
}

func numbers(t *testing.T, value any, path []string) []float64 {
	t.Helper()
	if len(path) == 0 {
		return []float64{value.(float64)}
	}
	switch v := value.(type) {
	case map[string]any:
		return numbers(t, v[path[0]], path[1:])
	case []any:
		if i, err := strconv.Atoi(path[0]); err == nil {
			return numbers(t, v[i], path[1:])
		}
		var all []float64
		for _, element := range v {
			all = append(all, numbers(t, element, path[1:])...)
		}
		return all
	}
	t.Fatalf("no %v in the report", path)
	return nil
}

// TestDrawingFollowsTheFigures changes one plotted number at a time: the picture must change with it.
func TestDrawingFollowsTheFigures(t *testing.T) {
	r := read(t)
	for _, c := range charts {
		figures := c.figures(r)
		before := drawn(t, c, figures)
		for _, f := range figures {
			for _, s := range f.series {
				for i := range s.points {
					p := s.points[i]
					s.points[i].y *= 0.9
					if drawn(t, c, figures) == before {
						t.Errorf("%s: %s does not show its point %d", c.name, s.name, i)
					}
					s.points[i] = p
				}
			}
		}
	}
}

func TestMeasureRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := Measure(t.Context(), Options{Models: []string{missing + ".tti"}}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Measure(t.Context(), Options{Models: []string{missing}}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, Options{Models: []string{"../../../testdata/fable-draft"}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRoundTicks: zero has no sign, and thousands are grouped.
func TestRoundTicks(t *testing.T) {
	for want, ends := range map[string][2]float64{"0 5,000 10,000": {0, 14000}, "0.0 0.5 1.0 1.5": {0, 1.8}, "31.2 31.4 31.6": {31.19, 31.75}} {
		var got []string
		for _, tick := range (round{}).Ticks(ends[0], ends[1]) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("from %v: ticks %q, want %s", ends, got, want)
		}
	}
}

func TestSignificant(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.00763: "0.00763", 9.995: "9.99", 15.2993: "15.3", 499: "499", 7404.4: "7,404", 1234567: "1,234,567"} {
		if got := significant(x); got != want {
			t.Errorf("%v is written %q, want %q", x, got, want)
		}
	}
}

// drawn returns a chart as SVG.
func drawn(t *testing.T, c chart, figures []figure) string {
	t.Helper()
	canvas := vgsvg.New(width, height)
	if err := c.draw(draw.New(canvas), figures); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if _, err := canvas.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
