package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/format/packed"
)

func newUnpack() *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use:   "unpack FILE.tti.zst",
		Short: "Restore a packed .tti file",
		Long: `Restore the .tti file that tti pack has packed, byte for byte, on all cores. Every byte is verified
before the file bears its name: it appears whole or not at all, and an existing one stays as it was until then.`,
		Example: `  tti unpack fable.tti.zst
  tti unpack /srv/models/fable.tti.zst -o fable.tti`,
		Args:              exactly("FILE.tti.zst"),
		ValidArgsFunction: completeExtensions("zst"),
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := checkOutput(cmd, target); err != nil {
				return err
			}
			if target == "" {
				name, ok := strings.CutSuffix(args[0], packedSuffix)
				if !ok {
					return usagef(cmd, "%s does not end in %s: --output is missing", args[0], packedSuffix)
				}
				target = name
			}
			return transform(ctx, cmd, "unpacking", packed.Unpack, args[0], target)
		}),
	}
	cmd.Flags().StringVarP(&target, "output", "o", "", "the `FILE` to write (default FILE.tti beside it)")
	cmd.MarkFlagFilename("output", "tti")
	return cmd
}
