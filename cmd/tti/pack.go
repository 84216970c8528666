package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/format/packed"
)

// packedSuffix is what a packed file's name ends with.
const packedSuffix = ".zst"

func newPack() *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use:   "pack FILE.tti",
		Short: "Make a .tti file smaller for shipping",
		Long: `Make a .tti file smaller for shipping: one zstd file, in frames, so that all cores can unpack it. It is
not for running; tti inspect and tti verify read it as it is. Any zstd program unpacks it, too.

What is packed is verified. The target appears whole or not at all. The same file always gives the
same bytes.`,
		Example: `  tti pack fable.tti
  tti pack fable.tti -o /srv/models/fable.tti.zst`,
		Args:              exactly("FILE.tti"),
		ValidArgsFunction: completeFiles,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := checkOutput(cmd, target); err != nil {
				return err
			}
			if target == "" {
				target = args[0] + packedSuffix
			}
			if err := transform(ctx, cmd, "packing", packed.Pack, args[0], target); err != nil {
				return mistaken(args[0], err)
			}
			return nil
		}),
	}
	cmd.Flags().StringVarP(&target, "output", "o", "", "the `FILE` to write (default FILE.tti.zst beside it)")
	cmd.MarkFlagFilename("output", "zst")
	return cmd
}

// transform packs or unpacks a file and tells how the sizes compare.
func transform(ctx context.Context, cmd *cobra.Command, label string, work func(context.Context, string, string, packed.Options) error, source, target string) error {
	start := time.Now()
	bar := newProgress(cmd.ErrOrStderr(), label, true)
	err := work(ctx, source, target, packed.Options{Progress: bar.set})
	bar.close()
	if err != nil {
		return err
	}
	elapsed := time.Since(start)
	was, err := os.Stat(source)
	if err != nil {
		return err
	}
	is, err := os.Stat(target)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s, %.1f %% of %s, in %.1f s\n",
		printable(target), humanSize(is.Size()), 100*float64(is.Size())/float64(was.Size()), printable(source), elapsed.Seconds())
	return nil
}
