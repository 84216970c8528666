// Command aims measures what speculation gains with the models of this project, beside what it is meant to gain:
//
//	go run ./spec/bench/aims [-repeats 3] [gains|hopeless|curve]...
//
// "gains" is pairs of target and draft, "hopeless" what guesses cost that are never right, "curve" how the gain depends on the
// share of guesses that are right. All three are measured if none is named. Times depend on the machine: the aims are those
// of the machine in spec/README.md. The command fails where one is missed. It runs at the top of the source.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic/cached"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/bench/statistics"
	"github.com/tti-llm/tti/spec"
	"github.com/tti-llm/tti/spec/bench"
)

func main() {
	repeats := flag.Int("repeats", 3, "rounds of measurements")
	flag.Parse()
	if err := run(*repeats, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "aims:", err)
		os.Exit(1)
	}
}

func run(repeats int, names []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	folder, err := os.MkdirTemp("", "tti-aims-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	return (&measurement{folder: folder, repeats: repeats}).run(ctx, names)
}

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
	if s.name == "" {
		return "n-gram look-up"
	}
	name := strings.TrimSuffix(fmt.Sprintf("%s-%s-%s", s.name, s.Mode, s.Int4), "-")
	if s.Calibrate != nil {
		name += "-calibrated"
	}
	return name
}

// measurement runs the measurements.
type measurement struct {
	folder  string // of converted models
	repeats int
	missed  int // aims
}

func (m *measurement) run(ctx context.Context, names []string) error {
	all := []string{"gains", "hopeless", "curve"}
	measure := map[string]func(context.Context) error{"gains": m.gains, "hopeless": m.hopeless, "curve": m.curve}
	if len(names) == 0 {
		names = all
	}
	for _, name := range names {
		if measure[name] == nil {
			return fmt.Errorf("%q is none of %s", name, strings.Join(all, ", "))
		}
	}
	for _, name := range names {
		if err := measure[name](ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if m.missed > 0 {
		return fmt.Errorf("%d aims are missed", m.missed)
	}
	return nil
}

// judge says whether an aim is reached, and counts those that are not.
func (m *measurement) judge(reached bool) string {
	if reached {
		return "reached"
	}
	m.missed++
	return "MISSED"
}

// open opens the model, which it makes first.
func (m *measurement) open(ctx context.Context, s source, options ...runtime.Option) (*runtime.Model, error) {
	o := s.Options
	o.NoSync = true
	if o.Calibrate != nil {
		text, err := os.ReadFile(filepath.Join("testdata", "golden", "fable-calib.txt"))
		if err != nil {
			return nil, err
		}
		o.Calibrate = &convert.Calibration{Text: string(text)}
	}
	if strings.HasPrefix(s.name, "fable") {
		path := filepath.Join(m.folder, s.String()+".tti")
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if err := convert.Convert(ctx, filepath.Join("testdata", s.name), path, o); err != nil {
				return nil, err
			}
		}
		return runtime.Open(path, options...)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path, err := cached.File(ctx, filepath.Join(cache, "tti", "synthetic"), s.name, o)
	if err != nil {
		return nil, err
	}
	return runtime.Open(path, options...)
}

// pair opens a target and, if it has a name, a draft on the same threads. done closes them.
func (m *measurement) pair(ctx context.Context, t, d source) (target, draft *runtime.Model, done func(), err error) {
	if target, err = m.open(ctx, t); err != nil {
		return nil, nil, nil, err
	}
	if d.name == "" {
		return target, nil, func() { target.Close() }, nil
	}
	if draft, err = m.open(ctx, d, runtime.WithThreads(target.Threads())); err != nil {
		target.Close()
		return nil, nil, nil, err
	}
	return target, draft, func() { draft.Close(); target.Close() }, nil
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

// aim is what a target is to gain from a draft: its speed beside plain decoding's.
type aim struct {
	target, draft source  // the draft without a name: n-gram look-up
	acceptance    float64 // of a scripted draft; 0: what the models agree on
	sampling      runtime.Sampling
	prompts       []string // nil: those of package bench
	least         float64
}

var aims = []aim{
	{target: fableF32, draft: source{"fable", int4All}, least: 1.4},
	{target: fableF32, draft: source{"fable", int4All}, sampling: sampled, least: 1.4},
	{target: fableF32, draft: source{"fable-draft", int4}, least: 1.3},
	{target: fableF32, draft: source{"fable-draft", int4}, sampling: sampled, least: 1.3},
	{target: fableInt8, draft: source{"fable-draft", int4All}, least: 1.2},
	{target: fableInt8, draft: source{"fable-draft", int4All}, sampling: sampled, least: 1.2},
	{target: fableInt8, draft: source{"fable-draft", calibrated}, least: 1.2},
	{target: fableInt8, draft: source{"fable-draft", calibrated}, sampling: sampled, least: 1.2},
	{target: fableF32, prompts: refrains, least: 1.5},
	{target: fableInt8, prompts: refrains, least: 1.5},
	{target: gpt2F32, draft: gpt2Int4All, acceptance: 0.9, prompts: bench.Prompts[:1], least: 2},
	{target: gpt2Int8, draft: smallInt4All, acceptance: 0.85, prompts: bench.Prompts[:1], least: 1.25},
}

func (m *measurement) gains(ctx context.Context) error {
	for _, a := range aims {
		if err := m.gain(ctx, a); err != nil {
			return fmt.Errorf("%v with %v: %w", a.target, a.draft, err)
		}
	}
	return nil
}

// tokens is how many a text has.
const tokens = 128

func (m *measurement) gain(ctx context.Context, a aim) error {
	target, draft, done, err := m.pair(ctx, a.target, a.draft)
	if err != nil {
		return err
	}
	defer done()
	if a.prompts == nil {
		a.prompts = bench.Prompts
	}
	prompts, err := bench.Encode(target.Tokenizer(), a.prompts)
	if err != nil {
		return err
	}
	o := bench.Options{Prompts: prompts, Sampling: a.sampling, Tokens: tokens, Lengths: []int{1, 2, 3, 4, 6, 8}, Repeats: m.repeats}
	var r bench.Result
	if a.acceptance > 0 {
		r, err = scripted(ctx, target, draft, a.acceptance, o)
	} else {
		r, err = bench.Measure(ctx, target, func() ([]spec.Drafter, error) {
			if draft == nil {
				return []spec.Drafter{&spec.NGram{}}, nil
			}
			d, err := spec.NewModel(draft, target)
			return []spec.Drafter{d}, err
		}, o)
	}
	if err != nil {
		return err
	}
	best := 0.0
	fmt.Printf("\n%v with %v at %v\n", a.target, a.draft, a.sampling.Temperature)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\ttok/s\tspeed-up\tacceptance\taccepted\tpasses\tformula\t")
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
	fmt.Printf("costs %.3f\naim %.2f, got %.3f: %s; %.3f of theory %.3f, %.3f of the best fixed length\n",
		r.Costs, a.least, adaptive, m.judge(adaptive >= a.least), adaptive/r.Theory, r.Theory, adaptive/best)
	return nil
}

// scripted is bench.Measure with a draft that is right as often as it is told.
func scripted(ctx context.Context, target, draft *runtime.Model, acceptance float64, o bench.Options) (bench.Result, error) {
	return bench.Measure(ctx, target, func() ([]spec.Drafter, error) {
		d, err := bench.Scripted(ctx, draft, target, o.Prompts, o.Tokens+spec.MaxLength, acceptance)
		return []spec.Drafter{d}, err
	}, o)
}

// curve measures how the gain depends on the acceptance, with scripted drafts.
func (m *measurement) curve(ctx context.Context) error {
	for _, c := range []struct{ target, draft source }{{gpt2F32, gpt2Int4All}, {gpt2Int8, smallInt4All}} {
		if err := m.curveOf(ctx, c.target, c.draft); err != nil {
			return fmt.Errorf("%v with %v: %w", c.target, c.draft, err)
		}
	}
	return nil
}

func (m *measurement) curveOf(ctx context.Context, t, d source) error {
	target, draft, done, err := m.pair(ctx, t, d)
	if err != nil {
		return err
	}
	defer done()
	prompts, err := bench.Encode(target.Tokenizer(), bench.Prompts[:2])
	if err != nil {
		return err
	}
	drafter, err := spec.NewModel(draft, target)
	if err != nil {
		return err
	}
	costs, err := bench.MeasureCosts(ctx, target, drafter, prompts[0], greedy)
	if err != nil {
		return err
	}
	fmt.Printf("\n%v with %v\n", t, d)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "acceptance\tspeed-up\taccepted of a draft\tpasses per token\ttheory\tat a length of\t")
	for _, rate := range []float64{0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1} {
		r, err := scripted(ctx, target, draft, rate, bench.Options{Prompts: prompts, Tokens: 2 * tokens, Lengths: []int{}, Repeats: m.repeats, NoCosts: true})
		if err != nil {
			return err
		}
		theory, length := costs.Best(rate)
		row := r.Rows[1]
		fmt.Fprintf(table, "%.0f %%\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n", 100*rate, row.Speedup, row.MeanAccepted, row.PassesPerToken, theory, length)
	}
	table.Flush()
	fmt.Printf("costs %.3f\n", costs)
	return nil
}

// dearest is what a text with hopeless guesses may take, beside plain decoding.
const dearest = 1.05

// hopeless measures what guesses that are never right cost. Every text has a Decoder that knows
// nothing yet, but a draft that has run the prompt.
func (m *measurement) hopeless(ctx context.Context) error {
	for _, c := range []struct{ target, draft source }{
		{fableF32, source{"fable", int4All}}, {fableF32, source{"fable-draft", int4}}, {fableInt8, source{"fable-draft", int4All}},
		{fableInt8, source{"fable", f32}}, {gpt2F32, gpt2Int4All}, {gpt2Int8, smallInt4All},
	} {
		if err := m.hopelessWith(ctx, c.target, c.draft); err != nil {
			return fmt.Errorf("%v with %v: %w", c.target, c.draft, err)
		}
	}
	return nil
}

func (m *measurement) hopelessWith(ctx context.Context, t, d source) error {
	target, draft, done, err := m.pair(ctx, t, d)
	if err != nil {
		return err
	}
	defer done()
	prompts, err := bench.Encode(target.Tokenizer(), bench.Prompts)
	if err != nil {
		return err
	}
	var ratios []float64
	drafted := 0
	for round := range m.repeats + 1 {
		for _, prompt := range prompts {
			plain, with, counts, err := beside(ctx, target, draft, prompt)
			if err != nil {
				return err
			}
			if drafted += counts.Drafted; counts.Accepted > 0 {
				return fmt.Errorf("a hopeless draft had %+v", counts)
			}
			if round > 0 {
				ratios = append(ratios, with/plain)
			}
		}
	}
	median := statistics.Median(ratios)
	fmt.Printf("\n%v with %v, never right\ntime %.3f of plain decoding's, at most %.2f: %s; quartiles %.3f and %.3f; %d guesses in %d texts\n",
		t, d, median, dearest, m.judge(median <= dearest), statistics.Quantile(ratios, 0.25), statistics.Quantile(ratios, 0.75), drafted, (m.repeats+1)*len(prompts))
	return nil
}

// beside decodes the same text without and with hopeless guesses, and returns the seconds that both take.
func beside(ctx context.Context, target, draft *runtime.Model, prompt []int32) (plain, with float64, counts spec.Statistics, err error) {
	drafter, err := bench.Scripted(ctx, draft, target, nil, 0, 0)
	if err != nil {
		return 0, 0, counts, err
	}
	sampler, err := target.NewSampler(greedy)
	if err != nil {
		return 0, 0, counts, err
	}
	if _, err := drafter.Propose(ctx, prompt, 1, sampler, nil); err != nil {
		return 0, 0, counts, err
	}
	var outcome runtime.Outcome
	options := []runtime.GenerateOption{runtime.MaxTokens(2 * tokens), runtime.IgnoreEOS(), runtime.Report(&outcome)}
	if err := exhaust(target.Generate(ctx, prompt, greedy, options...)); err != nil {
		return 0, 0, counts, err
	}
	plain = outcome.Decode.Seconds()
	decoder := spec.New(target, drafter)
	if err := exhaust(decoder.Generate(ctx, prompt, greedy, options...)); err != nil {
		return 0, 0, counts, err
	}
	return plain, outcome.Decode.Seconds(), decoder.Statistics(), nil
}

// exhaust takes all tokens of a text.
func exhaust[T any](text iter.Seq2[T, error]) error {
	for _, err := range text {
		if err != nil {
			return err
		}
	}
	return nil
}
