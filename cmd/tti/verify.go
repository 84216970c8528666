package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
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
			if err := verifyTokenizer(file); err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), fmt.Sprintf("%s: ok, %d sections, %s\n", printable(args[0]), len(file.Sections()), humanSize(file.Size())))
		}),
	}
}

// verifyTokenizer checks the tables of the tokenizer's section, which their checksum says nothing about.
func verifyTokenizer(file container) error {
	section, content, err := tokenizerSection(file)
	if content == nil {
		return err
	}
	view, err := vocabulary.Open(content)
	if err == nil {
		err = view.Check()
	}
	if err != nil {
		return fmt.Errorf("%s: section %s: %w", file.Path(), section.Name, err)
	}
	return nil
}

// tokenizerSection returns a file's tokenizer, nil if it has none.
func tokenizerSection(file container) (s format.Section, content []byte, err error) {
	s, ok := file.Section(format.TokenizerName)
	if !ok || s.Kind != format.KindTokenizer {
		return s, nil, nil
	}
	content, err = file.Copy(s)
	return s, content, err
}
