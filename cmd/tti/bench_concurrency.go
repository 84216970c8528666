package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine/bench"
)

// counts is a flag for a list of whole numbers, each at least 1.
type counts struct {
	values []int
	most   int
}

func (c *counts) String() string {
	var parts []string
	for _, n := range c.values {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}

func (c *counts) Type() string { return "N,..." }

func (c *counts) Set(text string) error {
	c.values = nil
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > c.most {
			return fmt.Errorf("want whole numbers from 1 to %d with commas between them", c.most)
		}
		c.values = append(c.values, n)
	}
	return nil
}

// concurrencyBench is the object of bench --concurrency --json.
type concurrencyBench struct {
	Model   string `json:"model"`
	Threads int    `json:"threads"`
	Kernels string `json:"kernels"`
	bench.Result
}

// runConcurrency measures texts at once of the model in a file.
func (f *benchFlags) runConcurrency(ctx context.Context, cmd *cobra.Command, name, path string) error {
	model, err := openModel(path, runtime.WithThreads(runtime.NewThreads(f.threads.value)))
	if err != nil {
		return err
	}
	defer model.Close()
	bar := newProgress(cmd.ErrOrStderr(), "measuring", false)
	result, err := bench.Measure(ctx, model, bench.Options{Texts: f.concurrency.values, Repeats: f.repeats.value, Progress: bar.set})
	bar.close()
	if err != nil {
		return about(name, err)
	}
	r := concurrencyBench{name, model.Threads().Count(), model.Kernels(), result}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), r)
	}
	return write(cmd.OutOrStdout(), r.String())
}

// String returns the table of a human reader.
func (r concurrencyBench) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d threads, kernels %s, prompts of %d tokens, texts of %d or more\n\n", printable(r.Model), r.Threads, r.Kernels, r.Prompt, r.Tokens)
	table := newTable(&text, tabwriter.AlignRight)
	fmt.Fprintln(table, "texts\tcached\ttokens\ttok/s\tof one pass\twith prompts\tfirst token ms\tp95\tp99\tgap ms\tp95\tp99\tlongest\t")
	for _, row := range r.Rows {
		fmt.Fprintf(table, "%d\t%d\t%d\t%.0f\t%.0f %%\t%.0f\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", row.Texts, row.Cached, row.Tokens,
			row.Decode.Median, 100*row.OfOnePass, row.Total.Median, row.FirstToken.P50, row.FirstToken.P95, row.FirstToken.P99,
			row.Gap.P50, row.Gap.P95, row.Gap.P99, row.Gap.Longest)
	}
	table.Flush()
	text.WriteString("\nTok/s are of all texts together while all decode, beside single passes over as many tokens. Where tokens are cached, all\n" +
		"prompts begin alike.\n")
	return text.String()
}
