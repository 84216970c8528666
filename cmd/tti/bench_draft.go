package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/bench"
)

// draftBenchFlags are the flags of bench about speculation.
type draftBenchFlags struct {
	draft       draftFlags
	prompts     string
	tokens      count
	temperature number
	topK        count
	topP        number
	names       []string // of the flags that make sense with a draft only
}

func newDraftBenchFlags() draftBenchFlags {
	return draftBenchFlags{
		tokens:      count{value: 128, least: 2, most: math.MaxInt32},
		temperature: number{most: math.MaxFloat64},
		topK:        count{most: math.MaxInt32},
		topP:        number{value: 1, least: math.SmallestNonzeroFloat64, most: 1},
	}
}

func (f *draftBenchFlags) register(cmd *cobra.Command) {
	f.draft.register(cmd)
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.StringVar(&f.prompts, "prompts", "", "texts to continue, one in each line of this `FILE`; a few are built in")
	set.VarP(&f.tokens, "tokens", "n", "how many tokens of each text to generate")
	set.Var(&f.temperature, "temp", "temperature, as for run")
	set.Var(&f.topK, "top-k", "as for run")
	set.Var(&f.topP, "top-p", "as for run")
	set.VisitAll(func(flag *pflag.Flag) { f.names = append(f.names, flag.Name) })
	cmd.Flags().AddFlagSet(set)
}

// check refuses flags that have no effect.
func (f *draftBenchFlags) check(cmd *cobra.Command) error {
	for _, name := range f.names {
		if cmd.Flags().Changed(name) && len(f.draft.drafts) == 0 {
			return usagef(cmd, "--%s belongs to --draft", name)
		}
	}
	return drawingOnly(cmd, f.temperature.value, "top-k", "top-p")
}

// draftBench is the object of bench --draft --json.
type draftBench struct {
	Model   string   `json:"model"`
	Drafts  []string `json:"drafts"`
	Threads int      `json:"threads"`
	Kernels string   `json:"kernels"`
	Prompts int      `json:"prompts"`
	Tokens  int      `json:"tokens"` // of each text, at most
	bench.Result
}

// run measures what the drafts gain for the model in a file.
func (f *draftBenchFlags) run(ctx context.Context, cmd *cobra.Command, name, path string, threads, repeats int) (draftBench, error) {
	prompts, err := f.texts()
	if err != nil {
		return draftBench{}, err
	}
	target, err := openModel(path, runtime.WithThreads(runtime.NewThreads(threads)))
	if err != nil {
		return draftBench{}, err
	}
	defer target.Close()
	drafts, err := f.draft.open(ctx, cmd, target)
	if err != nil {
		return draftBench{}, err
	}
	defer drafts.close()
	ids, err := bench.Encode(target.Tokenizer(), prompts)
	if err != nil {
		return draftBench{}, err
	}
	bar := newProgress(cmd.ErrOrStderr(), "measuring", false)
	defer bar.close()
	result, err := bench.Measure(ctx, target, drafts.drafters, bench.Options{
		Prompts:  ids,
		Tokens:   f.tokens.value,
		Sampling: runtime.Sampling{Temperature: f.temperature.value, TopK: f.topK.value, TopP: f.topP.value},
		Repeats:  repeats,
		Progress: bar.set,
	})
	return draftBench{name, f.draft.drafts, target.Threads().Count(), target.Kernels(), len(ids), f.tokens.value, result}, err
}

// texts returns the prompts.
func (f *draftBenchFlags) texts() ([]string, error) {
	if f.prompts == "" {
		return bench.Prompts, nil
	}
	text, err := os.ReadFile(f.prompts)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s: %w", f.prompts, errors.New("no lines with text"))
	}
	return lines, nil
}

// String returns the table of a human reader.
func (r draftBench) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s with %s: %d threads, kernels %s, %d texts of %d tokens\n\n",
		printable(r.Model), printable(strings.Join(r.Drafts, " and ")), r.Threads, r.Kernels, r.Prompts, r.Tokens)
	table := newTable(&text, tabwriter.AlignRight)
	fmt.Fprintln(table, "guesses\ttok/s\tquartiles\tspeed-up\tacceptance\taccepted of a draft\ttarget passes per token\t")
	for _, row := range r.Rows {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f to %.1f\t%.2f\t", row.Name, row.Rate, row.RateLow, row.RateHigh, row.Speedup)
		if row.Length < 0 {
			fmt.Fprintf(table, "\t\t%.2f\t\n", row.PassesPerToken)
		} else {
			fmt.Fprintf(table, "%.0f %%\t%.2f\t%.2f\t\n", 100*row.Acceptance, row.MeanAccepted, row.PassesPerToken)
		}
	}
	table.Flush()
	fmt.Fprintln(&text, "\nAcceptance is the share of right guesses among those whose forerunners were right.")
	if passes := r.Costs.Pass; len(passes) > 4 {
		fmt.Fprintf(&text, "\nIn parts of a plain token's time: a guess %.2f, checking 2 guesses %.2f, 4 guesses %.2f. At the last line's\n"+
			"acceptance a draft of fixed length gains %.2f at best.\n", r.Costs.Guess, passes[2], passes[4], r.Theory)
	}
	return text.String()
}
