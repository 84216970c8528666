package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE.tti",
		Short: "Check every byte of a .tti file, packed or not",
		Long: `Check header, index, every section's checksum and that nothing lies between sections: together every
bit of the file. Prints "ok" and exits 0, or names the first bad section and exits 1. A packed file
is unpacked to memory, a few frames at a time.`,
		Example: `  tti verify fable.tti
  tti verify fable.tti.zst`,
		Args:              exactly("FILE.tti"),
		ValidArgsFunction: completeExtensions("tti", "zst"),
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			file, err := openContainer(args[0])
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
			return write(cmd.OutOrStdout(), fmt.Sprintf("%s: ok, %d sections, %s\n", printable(args[0]), len(file.Sections()), humanSize(file.Size())))
		}),
	}
}
