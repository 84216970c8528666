package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
)

// evaluation is the object of eval --json.
type evaluation struct {
	Model string `json:"model"`
	runtime.Score
}

func newEval() *cobra.Command {
	var flags modelFlags
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "eval FILE.tti --text FILE",
		Short: "Measure how well a model predicts a text",
		Long: `Measure the perplexity of a text. Its tokens are cut into windows of the model's context, each of which
starts afresh; the first token of a window is not scored. NLL is the mean negative log-likelihood of
a scored token in nats, perplexity its exponential.`,
		Example: `  tti eval fable.tti --text testdata/golden/fable-eval.txt
  tti eval fable.tti --text - --json < story.txt`,
		Args:              exactly("FILE.tti"),
		ValidArgsFunction: completeFiles,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if path == "" {
				return usagef(cmd, "--text is missing, want the file to score")
			}
			text, err := readText(cmd, path)
			if err != nil {
				return err
			}
			model, err := runtime.Open(args[0], flags.options()...)
			if err != nil {
				return err
			}
			defer model.Close()
			ids, err := model.Tokenizer().Encode(text)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			bar := newProgress(cmd.ErrOrStderr(), "scoring tokens", false)
			score, err := model.Evaluate(ctx, ids, func(done, total int) { bar.set(int64(done), int64(total)) })
			bar.close()
			if err != nil {
				return fmt.Errorf("%s of %s: %w", args[0], path, err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), evaluation{args[0], score})
			}
			return write(cmd.OutOrStdout(), fmt.Sprintf("tokens      %d\nscored      %d\nnll         %.6f\nperplexity  %.4f\n",
				score.Tokens, score.Scored, score.NLL, score.Perplexity))
		}),
	}
	cmd.Flags().StringVar(&path, "text", "", "the `FILE` to score, - for standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	flags.register(cmd)
	return cmd
}

// readText reads a file, or standard input for "-".
func readText(cmd *cobra.Command, path string) (string, error) {
	if path == "-" {
		return readInput(cmd.InOrStdin())
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
