package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/report"
	"github.com/tti-llm/tti/convert/synthetic"
)

// reportFlags are the flags of bench about reports.
type reportFlags struct {
	directory string
	text      string
	quick     bool
	rounds    int // 0: as many as quick says
}

func (f *reportFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.directory, "report", "", "measure every mode and write tables and charts into `DIR`, new or of an earlier report")
	cmd.Flags().StringVar(&f.text, "text", "", "with --report: the `FILE` of which to compute the perplexity")
	cmd.Flags().BoolVar(&f.quick, "quick", false, "with --report: fewer rounds and shorter texts")
	cmd.MarkFlagDirname("report")
}

// check refuses flags that have no effect with what else is given.
func (f *reportFlags) check(cmd *cobra.Command, drafts []string) error {
	for _, name := range []string{"text", "quick"} {
		if f.directory == "" && cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s belongs to --report", name)
		}
	}
	if f.directory == "" {
		return nil
	}
	for _, name := range []string{"json", "mode", "int4", "prompts", "tokens", "temp", "top-k", "top-p"} {
		if cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s does not go with --report", name)
		}
	}
	if len(drafts) > 1 || len(drafts) == 1 && drafts[0] == ngram {
		return usagef(cmd, "--report takes one model as --draft, got %q", drafts)
	}
	return nil
}

// runSynthetic writes the report about a model of that size with random weights.
func (f *reportFlags) runSynthetic(ctx context.Context, cmd *cobra.Command, size string, drafts []string, texts []int, threads int) error {
	temporary, err := os.MkdirTemp("", "tti-synthetic-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	source := filepath.Join(temporary, size)
	if err := os.Mkdir(source, 0o777); err != nil {
		return err
	}
	if err := synthetic.Write(ctx, source, synthetic.Models[size]); err != nil {
		return fmt.Errorf("write synthetic model: %w", err)
	}
	return f.run(ctx, cmd, []string{source}, drafts, texts, threads)
}

// run writes the report about models.
func (f *reportFlags) run(ctx context.Context, cmd *cobra.Command, models, drafts []string, texts []int, threads int) error {
	if err := report.Check(f.directory); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	start := time.Now()
	var bar *progress
	part := ""
	options := report.Options{Models: models, Text: f.text, Threads: threads, Quick: f.quick, Texts: texts, Rounds: f.rounds, Progress: func(now string, done, total int64) {
		if now != part {
			if bar != nil {
				bar.close()
			}
			bar, part = newProgress(cmd.ErrOrStderr(), now, false), now
		}
		bar.set(done, total)
	}}
	if len(drafts) == 1 {
		options.Draft = drafts[0]
	}
	r, err := report.Measure(ctx, options)
	if bar != nil {
		bar.close()
	}
	if err == nil {
		err = r.Write(f.directory)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	note := ""
	if f.text == "" {
		note = "; without --text there is no perplexity"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s, %s and charts, in %.0f s%s\n", printable(f.directory), report.MarkdownName, report.JSONName, time.Since(start).Seconds(), note)
	if warning := r.Unsteady(); warning != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "tti: %s\n", warning)
	}
	return nil
}
