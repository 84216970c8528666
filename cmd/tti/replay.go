package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/serve"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// errDiffers ends replay where an answer is another one now.
var errDiffers = errors.New("answers differ")

func newReplay() *cobra.Command {
	var flags modelFlags
	var modes modeFlags
	var models []string
	cmd := &cobra.Command{
		Use:   "replay LOG",
		Short: "Compute the answers of tti serve again",
		Long: `Compute the answers in a log of tti serve --log again and compare them, byte for byte. They are the same
on every machine, whatever the number of threads and whatever else was served at the time; --kv, and
--ctx where a model has other factors for long texts, must be what they were.

Answers that never came, because the client went away, are passed over. If an answer differs, the exit
code is 1.`,
		Example: `  tti replay answers.jsonl --model fable-llama.tti
  tti replay answers.jsonl --model models/`,
		Args: exactly("LOG"),
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if len(models) == 0 {
				return usagef(cmd, "no models given, want --model MODEL")
			}
			files, err := modes.files(ctx, cmd, models...)
			if err != nil {
				return err
			}
			return replay(ctx, cmd, args[0], files, &flags)
		}),
	}
	cmd.Flags().StringArrayVar(&models, "model", nil, "the `MODEL`, a file, whatever it was called, or a model of the hub, or a folder of files; may be given several times")
	cmd.MarkFlagFilename("model", "tti")
	flags.register(cmd)
	modes.registerHub(cmd)
	return cmd
}

func replay(ctx context.Context, cmd *cobra.Command, path string, models []string, flags *modelFlags) error {
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	threads := runtime.NewThreads(flags.threads.value)
	defer threads.Close()
	var sources []serve.Source
	for _, path := range models {
		sources = append(sources, serve.Source{Path: path})
	}
	server, err := serve.New(sources, serve.Options{Threads: threads, Model: flags.kvOption(), Context: flags.context.value,
		Engine: engine.Options{Texts: maxServed, Queue: math.MaxInt32}, // whatever the other server had
	})
	if err != nil {
		return err
	}
	defer server.Close()
	stdout := cmd.OutOrStdout()
	replayed, err := server.Replay(ctx, log, func(r serve.Record, difference string) {
		fmt.Fprintf(stdout, "%s: %s\n", printable(r.ID), printable(difference))
	})
	if err != nil {
		return about(path, err)
	}
	if err := write(stdout, fmt.Sprintf("%d the same, %d different, %d without an answer\n", replayed.Same, replayed.Different, replayed.Skipped)); err != nil {
		return err
	}
	if replayed.Different > 0 {
		return about(path, errDiffers)
	}
	return nil
}
