package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic/cached"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/bench/statistics"
	"github.com/tti-llm/tti/spec"
)

// What speculation is meant to gain, and what it does gain on the machine at hand. Times depend on the
// machine, so nothing here fails, and nothing runs unless asked for:
//
//	go test ./spec/bench -run TestAims -aims -v
var (
	aims    = flag.Bool("aims", false, "measure what speculation gains, beside what it is meant to")
	repeats = flag.Int("repeats", 3, "rounds of measurements for -aims")
)

var (
	f32     = convert.Options{Mode: convert.F32}
	int8    = convert.Options{Mode: convert.Int8}
	int4    = convert.Options{Mode: convert.Int4}
	int4All = convert.Options{Mode: convert.Int4, Int4: convert.All}

	calibrated = convert.Options{Mode: convert.Int4, Int4: convert.All, Calibrate: &convert.Calibration{}}

	greedy  = runtime.Sampling{}
	sampled = runtime.Sampling{Temperature: 0.8, TopK: 40, Seed: 1}
)

// source is a model in one mode. The fable models are those of testdata; the others have random
// weights and the usual sizes.
type source struct {
	name string
	convert.Options
}

var (
	fableF32     = source{"fable", f32}
	fableInt8    = source{"fable", int8}
	gpt2F32      = source{"gpt2", f32}
	gpt2Int8     = source{"gpt2", int8}
	gpt2Int4All  = source{"gpt2", int4All}
	smallInt4All = source{"distilgpt2", int4All}
)

func (s source) String() string {
	name := strings.TrimSuffix(fmt.Sprintf("%s-%s-%s", s.name, s.Mode, s.Int4), "-")
	if s.Calibrate != nil {
		name += "-calibrated"
	}
	return name
}

// open opens the model, which it makes first.
func (s source) open(t *testing.T, options ...runtime.Option) *runtime.Model {
	t.Helper()
	var path string
	o := s.Options
	o.NoSync = true
	if o.Calibrate != nil {
		text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "fable-calib.txt"))
		if err != nil {
			t.Fatal(err)
		}
		o.Calibrate = &convert.Calibration{Text: string(text)}
	}
	if strings.HasPrefix(s.name, "fable") {
		path = filepath.Join(t.TempDir(), s.String()+".tti")
		if err := convert.Convert(context.Background(), filepath.Join("..", "..", "testdata", s.name), path, o); err != nil {
			t.Fatal(err)
		}
	} else {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		mode := strings.TrimPrefix(s.String(), s.name+"-")
		if path, err = cached.File(context.Background(), filepath.Join(cache, "tti", "synthetic"), s.name, mode, o); err != nil {
			t.Fatal(err)
		}
	}
	m, err := runtime.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// refrains repeat themselves: a tale that goes in rounds, a list, and code.
var refrains = []string{
	`The wolf went to the door and said, "Let me in, let me in!" But the goat said, "Not I, not I!"
The fox went to the door and said, "Let me in, let me in!" But the goat said, "Not I, not I!"
The bear went to the door and said, "Let me in, let me in!" But the goat said, "Not I, not I!"
The lion went to the door and said,`,
	"1. the king, 2. the queen, 3. the king, 4. the queen, 5. the king, 6. the queen, 7. the king, 8. the",
	"for (i = 0; i < n; i++) { a[i] = 0; }\nfor (i = 0; i < n; i++) { b[i] = 0; }\nfor (i = 0; i < n; i++) { c[i] = 0; }\nfor (i = 0;",
}

func TestAims(t *testing.T) {
	if !*aims {
		t.Skip("without -aims")
	}
	for _, c := range []struct {
		target, draft source // without a name: n-gram look-up
		acceptance    float64
		runtime.Sampling
		prompts []string
		aim     float64
	}{
		{target: fableF32, draft: source{"fable", int4All}, aim: 1.4},
		{target: fableF32, draft: source{"fable", int4All}, Sampling: sampled, aim: 1.4},
		{target: fableF32, draft: source{"fable-draft", int4}, aim: 1.3},
		{target: fableF32, draft: source{"fable-draft", int4}, Sampling: sampled, aim: 1.3},
		{target: fableInt8, draft: source{"fable-draft", int4All}, aim: 1.2},
		{target: fableInt8, draft: source{"fable-draft", int4All}, Sampling: sampled, aim: 1.2},
		{target: fableInt8, draft: source{"fable-draft", calibrated}, aim: 1.2},
		{target: fableInt8, draft: source{"fable-draft", calibrated}, Sampling: sampled, aim: 1.2},
		{target: fableF32, prompts: refrains, aim: 1.5},
		{target: fableInt8, prompts: refrains, aim: 1.5},
		{target: gpt2F32, draft: gpt2Int4All, acceptance: 0.9, aim: 2},
		{target: gpt2Int8, draft: smallInt4All, acceptance: 0.85, aim: 1.25},
	} {
		t.Run(fmt.Sprintf("%v with %v at %v", c.target, c.draft, c.Temperature), func(t *testing.T) {
			target := c.target.open(t)
			if c.prompts == nil {
				c.prompts = Prompts
			}
			if c.acceptance > 0 {
				c.prompts = Prompts[:1]
			}
			o := Options{Prompts: encode(t, target, c.prompts), Sampling: c.Sampling, Lengths: []int{1, 2, 3, 4, 6, 8}, Repeats: *repeats}
			if c.acceptance == 0 {
				c.acceptance = -1
			}
			r := measure(t, target, c.draft, c.acceptance, o)
			var text strings.Builder
			table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(table, "\ttok/s\tspeed-up\tacceptance\taccepted\tpasses\tformula\t")
			best := 0.0
			for _, row := range r.Rows {
				formula := 0.0
				if row.Length > 0 && row.Length < len(r.Costs.Pass) {
					best = max(best, row.Speedup)
					formula = r.Costs.Gain(row.Acceptance, row.Length)
				}
				fmt.Fprintf(table, "%s\t%.1f\t%.3f\t%.3f\t%.2f\t%.3f\t%.3f\t\n", row.Name, row.Rate, row.Speedup, row.Acceptance, row.MeanAccepted, row.PassesPerToken, formula)
			}
			table.Flush()
			adaptive := r.Rows[len(r.Rows)-1].Speedup
			t.Logf("aim %.2f, reached %.3f: %.3f of theory %.3f, %.3f of the best fixed length\n%scosts %.3f",
				c.aim, adaptive, adaptive/r.Theory, r.Theory, adaptive/best, text.String(), r.Costs)
		})
	}
}

func encode(t *testing.T, m *runtime.Model, prompts []string) [][]int32 {
	t.Helper()
	ids, err := Encode(m.Tokenizer(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// measure is Measure with a draft, a scripted one if the acceptance is not negative.
func measure(t *testing.T, target *runtime.Model, draft source, acceptance float64, o Options) Result {
	t.Helper()
	makeDrafters := func() ([]spec.Drafter, error) { return []spec.Drafter{&spec.NGram{}}, nil }
	if draft.name != "" {
		model := draft.open(t, runtime.WithThreads(target.Threads()))
		makeDrafters = func() ([]spec.Drafter, error) {
			d, err := spec.NewModel(model, target)
			return []spec.Drafter{d}, err
		}
		if acceptance >= 0 {
			makeDrafters = func() ([]spec.Drafter, error) {
				d, err := Scripted(context.Background(), model, target, o.Prompts, defaults(o.Tokens, 128)+spec.MaxLength, acceptance)
				return []spec.Drafter{d}, err
			}
		}
	}
	r, err := Measure(context.Background(), target, makeDrafters, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCurve measures how the gain depends on the acceptance, with scripted drafters.
func TestCurve(t *testing.T) {
	if !*aims {
		t.Skip("without -aims")
	}
	for _, c := range []struct{ target, draft source }{{gpt2F32, gpt2Int4All}, {gpt2Int8, smallInt4All}} {
		t.Run(fmt.Sprintf("%v with %v", c.target, c.draft), func(t *testing.T) {
			target := c.target.open(t)
			o := Options{Prompts: encode(t, target, Prompts[:2]), Tokens: 256, Lengths: []int{}, Repeats: *repeats, NoCosts: true}
			model := c.draft.open(t, runtime.WithThreads(target.Threads()))
			drafter, err := spec.NewModel(model, target)
			if err != nil {
				t.Fatal(err)
			}
			costs, err := MeasureCosts(context.Background(), target, drafter, o.Prompts[0], greedy)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(table, "acceptance\tspeed-up\taccepted of a draft\tpasses per token\ttheory\tat a length of\t")
			for _, rate := range []float64{0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1} {
				r := measure(t, target, c.draft, rate, o).Rows[1]
				theory, length := costs.Best(rate)
				fmt.Fprintf(table, "%.0f %%\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n", 100*rate, r.Speedup, r.MeanAccepted, r.PassesPerToken, theory, length)
			}
			table.Flush()
			t.Logf("\n%scosts %.3f", text.String(), costs)
		})
	}
}

// TestHopeless measures what guesses that are never right cost. Every text has a Decoder that knows
// nothing yet, but a draft that has run the prompt.
func TestHopeless(t *testing.T) {
	if !*aims {
		t.Skip("without -aims")
	}
	for _, c := range []struct{ target, draft source }{
		{fableF32, source{"fable", int4All}}, {fableF32, source{"fable-draft", int4}}, {fableInt8, source{"fable-draft", int4All}},
		{fableInt8, source{"fable", f32}}, {gpt2F32, gpt2Int4All}, {gpt2Int8, smallInt4All},
	} {
		t.Run(fmt.Sprintf("%v with %v", c.target, c.draft), func(t *testing.T) {
			target := c.target.open(t)
			draft := c.draft.open(t, runtime.WithThreads(target.Threads()))
			o := Options{Prompts: encode(t, target, Prompts), Tokens: 256}
			sampler, err := target.NewSampler(o.Sampling)
			if err != nil {
				t.Fatal(err)
			}
			var ratios []float64
			drafted := 0
			for round := range *repeats + 1 {
				for _, prompt := range o.Prompts {
					drafter, err := Scripted(context.Background(), draft, target, nil, 0, 0)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := drafter.Propose(context.Background(), prompt, 1, sampler, nil); err != nil {
						t.Fatal(err)
					}
					plain, speculative := &way{}, &way{}
					speculative.decoder = spec.New(target, drafter)
					var seconds [2]float64
					for i, w := range []*way{plain, speculative} {
						written, err := w.write(context.Background(), target, prompt, o)
						if err != nil {
							t.Fatal(err)
						}
						seconds[i] = written.seconds
						if drafted += written.counts.Drafted; written.counts.Accepted > 0 {
							t.Errorf("a hopeless draft had %+v", written.counts)
						}
					}
					if round > 0 {
						ratios = append(ratios, seconds[1]/seconds[0])
					}
				}
			}
			t.Logf("time %.3f of plain decoding's, quartiles %.3f and %.3f; %d guesses in %d texts",
				statistics.Median(ratios), statistics.Quantile(ratios, 0.25), statistics.Quantile(ratios, 0.75), drafted, len(ratios) / *repeats * (*repeats+1))
		})
	}
}
