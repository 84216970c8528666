package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

func newVerify() *cobra.Command {
	var modes modeFlags
	cmd := &cobra.Command{
		Use:   "verify MODEL...",
		Short: "Check every byte of .tti files, packed or not",
		Long: `Check header, index, every section's checksum and that nothing lies between sections: together every
bit of the file. Prints "ok" for each file that is, names the first bad section of each other one, and exits 1 if there is any. A
packed file is unpacked to memory, a few frames at a time.` + hubHelp,
		Example: `  tti verify fable.tti
  tti verify *.tti fable.tti.zst`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("0 files given, want MODEL")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"tti", "zst"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			paths, err := modes.files(ctx, cmd, args...)
			if err != nil {
				return err
			}
			var bad severalErrors
			for _, path := range paths {
				switch err := verify(ctx, cmd, path); {
				case errors.Is(err, errOutput), errors.Is(err, context.Canceled):
					return err
				case err != nil:
					bad = append(bad, err)
				}
			}
			if len(bad) > 0 {
				return bad
			}
			return nil
		}),
	}
	modes.registerHub(cmd)
	return cmd
}

// verify checks one file.
func verify(ctx context.Context, cmd *cobra.Command, path string) error {
	file, err := openContainer(path)
	if err != nil {
		return err
	}
	defer file.Close()
	bar := newProgress(cmd.ErrOrStderr(), "verifying", true)
	err = file.Verify(ctx, bar.set)
	bar.close()
	if err != nil {
		return damaged(path, err)
	}
	if err := verifyTokenizer(file); err != nil {
		return err
	}
	return write(cmd.OutOrStdout(), fmt.Sprintf("%s: ok, %d sections, %s\n", printable(path), len(file.Sections()), humanSize(file.Size())))
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
