package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

func newTokenize() *cobra.Command {
	var decode, special bool
	var escapes escapesFlag
	cmd := &cobra.Command{
		Use:   "tokenize FILE.tti [TEXT|-]",
		Short: "Turn text into token ids, or back",
		Long: `Print the ids of TEXT's tokens in one line; with --decode, print the bytes that ids stand for, exactly but for
control characters on a terminal.
Without TEXT, or with -, standard input is read to its end, every byte of it.`,
		Example: `  tti tokenize fable.tti "Once upon a time"
  tti tokenize fable.tti < story.txt
  tti tokenize fable.tti --decode "1435 323 705 258 508"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return fmt.Errorf("%d arguments given, want FILE.tti and perhaps TEXT", len(args))
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if decode && special {
				return usagef(cmd, "--special is for encoding and --decode is given")
			}
			model, err := runtime.Open(args[0], runtime.WithThreads(runtime.NewThreads(1)))
			if err != nil {
				return err
			}
			defer model.Close()
			var input string
			if len(args) == 2 && args[1] != "-" {
				input = args[1]
			} else if input, err = readInput(cmd.InOrStdin()); err != nil {
				return err
			}
			output, err := tokenize(model.Tokenizer(), input, decode, special)
			if err != nil {
				return err
			}
			stdout := cmd.OutOrStdout()
			return write(stdout, escapes.text(output, stdout))
		},
	}
	cmd.Flags().BoolVar(&decode, "decode", false, "turn ids, separated by white space, back into text")
	cmd.Flags().BoolVar(&special, "special", false, "turn text such as <|endoftext|> into the control token it names")
	escapes.register(cmd)
	return cmd
}

func tokenize(t *tokenizer.Tokenizer, input string, decode, special bool) (string, error) {
	if decode {
		ids, err := parseIDs(input)
		if err != nil {
			return "", err
		}
		return t.Decode(ids)
	}
	ids, err := encode(t, input, special)
	if err != nil {
		return "", err
	}
	return strings.Trim(fmt.Sprint(ids), "[]") + "\n", nil
}

// encode returns the ids of text, with control tokens or without.
func encode(t *tokenizer.Tokenizer, text string, special bool) ([]int32, error) {
	if special {
		return t.EncodeSpecial(text)
	}
	return t.Encode(text)
}

func parseIDs(text string) ([]int32, error) {
	var ids []int32
	for word := range strings.FieldsSeq(text) {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("token id %.40q: want a whole number", word)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}
