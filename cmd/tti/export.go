package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert"
)

func newExport() *cobra.Command {
	dtype := choice{string(convert.DTypeF32), []string{string(convert.DTypeF32), string(convert.DTypeF16), string(convert.DTypeBF16)}}
	var directory string
	cmd := &cobra.Command{
		Use:   "export FILE.tti",
		Short: "Turn a .tti file back into a HuggingFace model directory",
		Long: `Turn a .tti file back into a HuggingFace model directory: the weights as safetensors, with the
configuration and tokenizer files that transformers reads. Weights of the modes int8 and int4 are written
as the numbers that their codes stand for.

Nothing is lost on the way from f32 to .tti and back: the weights are the same to the last bit. As f16 or
bf16, a value that is too large is refused. The directory appears whole or not at all; it must not exist yet, or be
empty.`,
		Example: `  tti export gpt2-int4.tti
  tti export gpt2-f32.tti -o gpt2-again --dtype f16`,
		Args:              exactly("FILE.tti"),
		ValidArgsFunction: completeFiles,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := checkOutput(cmd, directory); err != nil {
				return err
			}
			if directory == "" {
				if directory = strings.TrimSuffix(args[0], ".tti"); directory == args[0] {
					return usagef(cmd, "%s does not end in .tti, want -o DIR", args[0])
				}
			}
			bar := newProgress(cmd.ErrOrStderr(), "exporting", true)
			err := convert.Export(ctx, args[0], directory, convert.ExportOptions{DType: convert.DType(dtype.value), Progress: bar.set})
			bar.close()
			if err != nil {
				return mistaken(args[0], err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: a model directory with weights in %s\n", printable(directory), dtype.value)
			return nil
		}),
	}
	dtype.register(cmd, "dtype", "type of the weights' numbers")
	cmd.Flags().StringVarP(&directory, "output", "o", "", "the directory `DIR` to write (default FILE without .tti)")
	cmd.MarkFlagDirname("output")
	return cmd
}
