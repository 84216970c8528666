package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/format"
)

func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE.tti",
		Short: "Check every byte of a .tti file",
		Long: `Check header, index, every section's checksum and that nothing lies between sections: together every
bit of the file. Prints "ok" and exits 0, or names the first bad section and exits 1.`,
		Example:           `  tti verify fable.tti`,
		Args:              exactly("FILE.tti"),
		ValidArgsFunction: completeFiles,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			file, err := format.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			bar := newProgress(cmd.ErrOrStderr(), "verifying", true)
			err = file.Verify(ctx, bar.set)
			bar.close()
			if err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), fmt.Sprintf("%s: ok, %d sections, %s\n", args[0], len(file.Sections()), humanSize(file.Size())))
		}),
	}
}
