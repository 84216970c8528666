package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/convert/synthetic/cached"
	"github.com/tti-llm/tti/runtime/bench"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	threads   *count
	repeats   count
	synthetic choice
	modes     modeFlags
	drafting  draftBenchFlags
	report    reportFlags
	json      bool

	concurrency counts
}

func newBench() *cobra.Command {
	flags := benchFlags{repeats: count{value: 5, least: 1, most: 1000}, drafting: newDraftBenchFlags(), concurrency: counts{most: 256}}
	cmd := &cobra.Command{
		Use:   "bench {MODEL | --synthetic SIZE | --report DIR {FILE|SRC}...}",
		Short: "Measure how fast a model runs, and how fast it could",
		Long: `Measure a model's speed: one token at a time at the beginning and near the end of its context, whole
prompts, and batches of 1 to 16 tokens. The roofline is the rate at which the same threads read the
same weights and do nothing else; decoding cannot be faster. Figures are medians of several rounds.

--synthetic makes a model of the usual sizes with random weights, keeps it in the user's cache directory
and measures that: random weights are as fast as trained ones.

With --draft it measures instead what speculation gains: the same texts without guesses, with 2, 4 and
6 at a time, and with as many as are worth it, in turns.

With --concurrency it measures many texts at once, for each of some numbers of them: how many tokens they make together,
how long the first of each takes, and the gaps between them, for prompts that have nothing in common and for
prompts that begin alike. Both --synthetic and --concurrency go with --report.

With --report it measures whole models and writes tables, charts and all figures into a directory. A
source, as tti convert takes it, is measured in every mode. --draft names the model that drafts, which may be
a source too; otherwise a source drafts for itself in its fewest bits.` + hubHelp,
		Example: `  tti bench fable.tti
  tti bench Qwen/Qwen3-0.6B --mode int4
  tti bench --synthetic gpt2 --mode int4-all --threads 2 --json
  tti bench fable.tti --draft fable-draft.tti --temp 0.8 --top-k 40
  tti bench fable.tti --concurrency 1,4,16,32
  tti bench --report report --quick --text story.txt --draft distilgpt2 gpt2`,
		Args: func(_ *cobra.Command, args []string) error {
			if flags.report.directory != "" && flags.synthetic.value == "" {
				if len(args) == 0 {
					return errors.New("nothing given to report about, want at least one FILE.tti or SRC")
				}
				return nil
			}
			if made := flags.synthetic.value != ""; made != (len(args) == 0) || len(args) > 1 {
				return fmt.Errorf("%d files given, want one MODEL, or none and --synthetic", len(args))
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return flags.run(ctx, cmd, args)
		}),
	}
	flags.threads = registerThreads(cmd)
	cmd.Flags().Var(&flags.repeats, "repeats", "rounds of measurements")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print one JSON object")
	flags.synthetic.allowed = slices.Sorted(maps.Keys(synthetic.Models))
	flags.synthetic.register(cmd, "synthetic", "make a model of this size with random weights and measure that")
	flags.modes.register(cmd)
	flags.drafting.register(cmd)
	flags.report.register(cmd)
	cmd.Flags().Var(&flags.concurrency, "concurrency", "measure so many texts at once, such as 1,4,16,32")
	return cmd
}

func (f *benchFlags) run(ctx context.Context, cmd *cobra.Command, args []string) error {
	if err := f.report.check(cmd, f.drafting.draft.drafts); err != nil {
		return err
	}
	if cmd.Flags().Changed("repeats") {
		f.report.rounds = f.repeats.value
	}
	if f.report.directory != "" && f.synthetic.value != "" {
		return f.report.runSynthetic(ctx, cmd, f.synthetic.value, f.drafting.draft.drafts, f.concurrency.values, f.threads.value)
	}
	if f.report.directory != "" {
		return f.report.run(ctx, cmd, args, f.drafting.draft.drafts, f.concurrency.values, f.threads.value)
	}
	if err := f.drafting.check(cmd); err != nil {
		return err
	}
	if f.concurrency.values != nil && len(f.drafting.draft.drafts) > 0 {
		return usagef(cmd, "--concurrency does not go with --draft")
	}
	name, path, err := f.model(ctx, cmd, args)
	if err != nil {
		return err
	}
	if f.concurrency.values != nil {
		return f.runConcurrency(ctx, cmd, name, path)
	}
	if len(f.drafting.draft.drafts) > 0 {
		result, err := f.drafting.run(ctx, cmd, name, path, f.threads.value, f.repeats.value)
		if err != nil {
			return about(name, err)
		}
		if f.json {
			return writeJSON(cmd.OutOrStdout(), result)
		}
		return write(cmd.OutOrStdout(), result.String())
	}
	bar := newProgress(cmd.ErrOrStderr(), "measuring", false)
	results, err := bench.Measure(ctx, []string{path}, bench.Options{Threads: f.threads.value, Repeats: f.repeats.value, Progress: bar.set})
	bar.close()
	if err != nil {
		return about(path, mistaken(path, damaged(path, err)))
	}
	results[0].Model = name
	if f.json {
		return writeJSON(cmd.OutOrStdout(), results[0])
	}
	return write(cmd.OutOrStdout(), benchText(results[0]))
}

// model returns the file to measure and what it is called. It makes the file if asked to.
func (f *benchFlags) model(ctx context.Context, cmd *cobra.Command, args []string) (name, path string, err error) {
	if f.synthetic.value == "" {
		path, err := f.modes.file(ctx, cmd, args[0])
		return args[0], path, err
	}
	options, err := f.modes.options(cmd)
	if err != nil {
		return "", "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	bar := newProgress(cmd.ErrOrStderr(), "converting", true)
	defer bar.close()
	options.Progress = bar.set
	directory := filepath.Join(cache, "tti", "synthetic")
	path, err = cached.File(ctx, directory, f.synthetic.value, options)
	return path, path, err
}

// benchText returns the tables of a human reader.
func benchText(r bench.Result) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d threads, kernels %s\n", printable(r.Model), r.Threads, r.Kernels)
	fmt.Fprintf(&text, "CPU with %s\n", strings.Join(r.Features, " "))
	fmt.Fprintf(&text, "roofline %.1f GB/s, opened in %.2f ms, peak memory %.1f MB\n\n", r.Roofline, r.Open, r.PeakRSS)

	table := newTable(&text, tabwriter.AlignRight)
	fmt.Fprintln(table, "decode at depth\ttok/s\tGB/s\tof roofline\t")
	for _, d := range r.Decode {
		fmt.Fprintf(table, "%d\t%.1f\t%.1f\t%.0f %%\t\n", d.Depth, d.Rate, d.Bandwidth, 100*d.OfRoofline)
	}
	table.Flush()
	fmt.Fprintln(&text)
	fmt.Fprintln(table, "prefill of tokens\ttok/s\t")
	for _, p := range r.Prefill {
		fmt.Fprintf(table, "%d\t%.1f\t\n", p.Tokens, p.Rate)
	}
	table.Flush()
	fmt.Fprintln(&text)
	fmt.Fprintln(table, "batch of tokens\tms\ttimes one\t")
	for _, b := range r.Batch {
		fmt.Fprintf(table, "%d\t%.3f\t%.2f\t\n", b.Tokens, b.Milliseconds, b.Milliseconds/r.Batch[0].Milliseconds)
	}
	table.Flush()
	return text.String()
}
