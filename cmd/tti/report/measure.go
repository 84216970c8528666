package report

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/tti-llm/tti/cmd/tti/buildinfo"
	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/bench"
	"github.com/tti-llm/tti/spec"
	speculation "github.com/tti-llm/tti/spec/bench"
	concurrency "github.com/tti-llm/tti/spec/engine/bench"
)

// Options are the choices of Measure.
type Options struct {
	Models  []string // .tti files, and sources as convert.Resolve takes them, which are measured in every mode
	Draft   string   // a .tti file or a source; empty: the first source in its smallest mode
	Text    string   // file for the perplexity; empty: none is computed
	Threads int      // as runtime.WithThreads takes it
	Quick   bool     // fewer rounds and shorter texts
	Rounds  int      // of the measurements of speed; 0: 15, or 7 if Quick
	Texts   []int    // numbers of texts at once to measure; nil: none
	// Progress is told how much of a part of the work is done, if not nil.
	Progress func(part string, done, total int64)
}

// modes are the ways in which a source is measured.
var modes = []convert.Options{
	{Mode: convert.F32},
	{Mode: convert.F16},
	{Mode: convert.Int8},
	{Mode: convert.Int4},
	{Mode: convert.Int4, Int4: convert.Blocks},
	{Mode: convert.Int4, Int4: convert.All},
}

// servedMode is the mode of a source that many texts at once are measured with.
const servedMode = "int8"

var (
	// shortTexts are the lengths of texts that people measure generation with.
	shortTexts = []int{16, 32, 64}
	prompts    = []int{16, 32, 64, 128, 256, 512, 1024}
)

const (
	// depths is the number of places in the context where decoding is measured, depthTokens how many tokens.
	depths, depthTokens = 5, 32
	// deepest is how much of a long context is used at most: to fill all that today's models have takes hours.
	deepest = 2048

	rounds, quickRounds                     = 15, 7
	speculationRounds, quickSpeculation     = 5, 2
	speculationTokens, quickSpeculatedToken = 128, 96
	quickConcurrency                        = 2
)

// file is a model to be measured.
type file struct {
	name   string // of the mode
	path   string
	source convert.Source // none for a .tti file
}

// meter measures.
type meter struct {
	options   Options
	temporary string // directory for converted models
}

// Measure converts and measures. Converted models are removed when it is done.
func Measure(ctx context.Context, o Options) (Report, error) {
	temporary, err := os.MkdirTemp("", "tti-report-")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(temporary)
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	return meter{o, temporary}.measure(ctx)
}

func (m meter) measure(ctx context.Context) (r Report, err error) {
	for _, model := range m.options.Models {
		r.Models = append(r.Models, filepath.Base(model))
	}
	r.Tool, r.Date = "tti "+buildinfo.Version(), time.Now().UTC().Format(time.DateOnly)
	files, err := m.files(ctx)
	if err != nil {
		return r, err
	}
	if r.Modes, err = m.speeds(ctx, files, &r); err != nil {
		return r, err
	}
	if m.options.Text != "" {
		r.Text = filepath.Base(m.options.Text)
		if err := m.qualities(ctx, files, r.Modes); err != nil {
			return r, err
		}
	}
	for _, f := range files {
		if f.source.Directory != "" {
			errors, err := weightErrors(ctx, f)
			if err != nil {
				return r, err
			}
			r.Errors = append(r.Errors, errors...)
		}
	}
	if r.Speculation, err = m.speculation(ctx, files); err != nil {
		return r, err
	}
	r.Concurrency, err = m.concurrency(ctx, files)
	return r, err
}

// files returns the models, sources converted to every mode.
func (m meter) files(ctx context.Context) ([]file, error) {
	var files []file
	for i, model := range m.options.Models {
		if strings.HasSuffix(model, ".tti") {
			files = append(files, file{name: strings.TrimSuffix(filepath.Base(model), ".tti"), path: model})
			continue
		}
		source, err := convert.Resolve(ctx, model, convert.Download{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", model, err)
		}
		prefix := ""
		if len(m.options.Models) > 1 {
			prefix = filepath.Base(model) + " "
		}
		for j, mode := range modes {
			name, err := mode.ModeName()
			if err != nil {
				return nil, err
			}
			path, err := m.convert(ctx, source, fmt.Sprintf("%d-%s.tti", i, name), mode)
			if err != nil {
				return nil, err
			}
			files = append(files, file{name: prefix + name, path: path, source: source})
			m.options.Progress("converting", int64(i*len(modes)+j+1), int64(len(m.options.Models)*len(modes)))
		}
	}
	return files, nil
}

func (m meter) convert(ctx context.Context, source convert.Source, name string, o convert.Options) (string, error) {
	path := filepath.Join(m.temporary, name)
	o.NoSync = true
	return path, source.Convert(ctx, path, o)
}

// speeds measures all files in turns, and names the machine.
func (m meter) speeds(ctx context.Context, files []file, r *Report) ([]Mode, error) {
	r.Rounds = m.options.Rounds
	switch {
	case r.Rounds > 0:
	case m.options.Quick:
		r.Rounds = quickRounds
	default:
		r.Rounds = rounds
	}
	var paths []string
	var result []Mode
	var spans []bench.Span
	for _, n := range shortTexts {
		spans = append(spans, bench.Span{Tokens: n})
	}
	deep := map[bench.Span]bool{}
	for _, f := range files {
		paths = append(paths, f.path)
		mode, context, err := describe(f)
		if err != nil {
			return nil, err
		}
		result = append(result, mode)
		for i := range depths {
			span := bench.Span{Depth: (min(context, deepest) - depthTokens) * i / (depths - 1), Tokens: depthTokens}
			if span.Depth >= 0 && !deep[span] {
				deep[span] = true
				if !slices.Contains(spans, span) {
					spans = append(spans, span)
				}
			}
		}
	}
	measured, err := bench.Measure(ctx, paths, bench.Options{
		Threads: m.options.Threads, Repeats: r.Rounds, Decodes: spans, Prompts: prompts, Batches: -1,
		Progress: func(done, total int64) { m.options.Progress("measuring", done, total) },
	})
	if err != nil {
		return nil, err
	}
	for i, b := range measured {
		mode := &result[i]
		mode.PeakBytes, mode.Roofline, mode.Prefill = int64(b.PeakRSS*1e6), b.Roofline, b.Prefill
		for _, d := range b.Decode {
			if d.Depth == 0 && slices.Contains(shortTexts, d.Tokens) {
				mode.Short = append(mode.Short, d)
			}
			if deep[d.Span] {
				mode.Deep = append(mode.Deep, d)
			}
		}
		r.Machine = machine(b.Threads, b.Kernels)
	}
	return result, nil
}

func machine(threads int, kernels string) Machine {
	return Machine{
		Processor: cmp.Or(cpuid.CPU.BrandName, "unknown"), Cores: goruntime.NumCPU(), Threads: threads, Kernels: kernels,
		Go: goruntime.Version(), System: goruntime.GOOS + "/" + goruntime.GOARCH,
	}
}

// describe returns what a file says of itself, and the length of its model's context.
func describe(f file) (mode Mode, context int, err error) {
	model, err := runtime.Open(f.path, runtime.WithoutVerify())
	if err != nil {
		return mode, 0, err
	}
	defer model.Close()
	mode = Mode{Name: f.name, FileBytes: model.File().Size()}
	weights := int64(0)
	for _, s := range model.File().Sections() {
		if s.Kind == format.KindTensor {
			mode.WeightBytes += s.Length
			n := int64(1)
			for _, dimension := range s.Shape {
				n *= int64(dimension)
			}
			weights += n
		}
	}
	mode.BitsPerWeight = 8 * float64(mode.WeightBytes) / float64(max(weights, 1))
	return mode, model.Shape().Context, nil
}

// family returns what the files of one model have in common, whatever their modes: the source or, of .tti
// files, hyperparameters and vocabulary.
func (f file) family() (string, error) {
	if f.source.Directory != "" {
		return f.source.Directory, nil
	}
	model, err := runtime.Open(f.path, runtime.WithoutVerify())
	if err != nil {
		return "", err
	}
	defer model.Close()
	section, _ := model.File().Section(format.TokenizerName) // there is one, or the model had not been opened
	return fmt.Sprintf("%s %s %x", model.Meta().Architecture, model.Meta().Hyperparameters, section.Checksum), nil
}

// qualities scores the text with every file and compares it with the first one of its family.
func (m meter) qualities(ctx context.Context, files []file, modes []Mode) error {
	text, err := os.ReadFile(m.options.Text)
	if err != nil {
		return err
	}
	references := map[string]string{} // by family
	for i, f := range files {
		family, err := f.family()
		if err != nil {
			return err
		}
		if references[family] == "" {
			references[family] = f.path
		}
		if modes[i].Quality, err = m.quality(ctx, references[family], f.path, string(text)); err != nil {
			return fmt.Errorf("%s of %s: %w", f.name, m.options.Text, err)
		}
		m.options.Progress("scoring the text", int64(i+1), int64(len(files)))
	}
	return nil
}

func (m meter) quality(ctx context.Context, reference, path, text string) (*Quality, error) {
	model, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(m.options.Threads)))
	if err != nil {
		return nil, err
	}
	defer model.Close()
	other, err := runtime.Open(reference, runtime.WithThreads(model.Threads()))
	if err != nil {
		return nil, err
	}
	defer other.Close()
	ids, err := model.Tokenizer().EncodePrompt(text)
	if err != nil {
		return nil, err
	}
	c, err := runtime.Compare(ctx, other, model, ids, 0, nil)
	if err != nil {
		return nil, err
	}
	return &Quality{
		Tokens: c.Model.Scored, Perplexity: c.Model.Perplexity, Rise: c.Rise, Divergence: c.Divergence, Agreement: c.Agreement,
	}, nil
}

// speculation measures what a draft gains for the first model, nil where nothing can be the draft.
func (m meter) speculation(ctx context.Context, files []file) (*Speculation, error) {
	target := files[0]
	s := &Speculation{Target: target.name, Rounds: speculationRounds, Tokens: speculationTokens}
	if m.options.Quick {
		s.Rounds, s.Tokens = quickSpeculation, quickSpeculatedToken
	}
	draft := m.options.Draft
	draftMode, err := convert.DraftOptions().ModeName()
	if err != nil {
		return nil, err
	}
	switch {
	case draft == "" && target.source.Directory == "":
		return nil, nil
	case draft == "":
		own := files[slices.IndexFunc(files, func(f file) bool {
			return f.source.Directory == target.source.Directory && strings.HasSuffix(f.name, draftMode)
		})]
		draft, s.Draft = own.path, own.name
	case strings.HasSuffix(draft, ".tti"):
		s.Draft = strings.TrimSuffix(filepath.Base(draft), ".tti")
	default:
		source, err := convert.Resolve(ctx, draft, convert.Download{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", draft, err)
		}
		s.Draft = filepath.Base(draft) + " " + draftMode
		if draft, err = m.convert(ctx, source, "draft.tti", convert.DraftOptions()); err != nil {
			return nil, err
		}
	}
	big, err := runtime.Open(target.path, runtime.WithThreads(runtime.NewThreads(m.options.Threads)))
	if err != nil {
		return nil, err
	}
	defer big.Close()
	small, err := runtime.Open(draft, runtime.WithThreads(big.Threads()))
	if err != nil {
		return nil, err
	}
	defer small.Close()
	texts, err := speculation.Encode(big.Tokenizer(), speculation.Prompts)
	if err != nil {
		return nil, err
	}
	half := big.Shape().Context / 2
	s.Texts, s.Tokens = len(texts), min(s.Tokens, half)
	for i := range texts {
		texts[i] = texts[i][:min(len(texts[i]), half)]
	}
	s.Result, err = speculation.Measure(ctx, big, func() ([]spec.Drafter, error) {
		drafter, err := spec.NewModel(small, big)
		return []spec.Drafter{drafter}, err
	}, speculation.Options{
		Prompts: texts, Tokens: s.Tokens, Repeats: s.Rounds,
		Progress: func(done, total int64) { m.options.Progress("speculating", done, total) },
	})
	return s, err
}

// concurrency measures many texts at once, of a source in servedMode or of the first file.
func (m meter) concurrency(ctx context.Context, files []file) (*Concurrency, error) {
	if m.options.Texts == nil {
		return nil, nil
	}
	served := files[max(0, slices.IndexFunc(files, func(f file) bool { return f.source.Directory != "" && strings.HasSuffix(f.name, servedMode) }))]
	model, err := runtime.Open(served.path, runtime.WithThreads(runtime.NewThreads(m.options.Threads)))
	if err != nil {
		return nil, err
	}
	defer model.Close()
	options := concurrency.Options{Texts: m.options.Texts, Progress: func(done, total int64) { m.options.Progress("many texts at once", done, total) }}
	if m.options.Quick {
		options.Repeats = quickConcurrency
	}
	if m.options.Rounds > 0 {
		options.Repeats = m.options.Rounds
	}
	// A short context has room for a third of it as a prompt and a third as text.
	if third := model.Shape().Context / 3; third < 128 {
		options.Prompt, options.Tokens = third, third
	}
	result, err := concurrency.Measure(ctx, model, options)
	return &Concurrency{Mode: served.name, Result: result}, err
}
