package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// evaluation is the object of eval --json.
type evaluation struct {
	Model string `json:"model"`
	runtime.Score
	KV      string      `json:"kv"`       // encoding of the KV cache
	KVBytes int64       `json:"kv_bytes"` // of it, when the context is full
	Compare *comparison `json:"compare,omitempty"`
}

// comparison is what eval --compare adds: the model against a reference.
type comparison struct {
	Reference  string      `json:"reference"`
	Perplexity float64     `json:"reference_perplexity"`
	NLL        float64     `json:"reference_nll"`
	Rise       float64     `json:"perplexity_rise"` // as a part of the reference's
	Divergence float64     `json:"kl_divergence"`
	Agreement  float64     `json:"top1_agreement"`
	Worst      []worstCase `json:"worst"`
}

// worstCase is a token at which the models differ much.
type worstCase struct {
	runtime.Deviation
	Before        string `json:"before"` // the text that leads to the token
	Text          string `json:"text"`
	ReferenceText string `json:"reference_best_text"`
	ModelText     string `json:"model_best_text"`
}

const (
	worstCases = 10
	// contextTokens is how much of the text before a token is shown.
	contextTokens = 6
)

func newEval() *cobra.Command {
	var flags modelFlags
	var modes modeFlags
	var path, reference string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "eval MODEL --text FILE",
		Short: "Measure how well a model predicts a text",
		Long: `Measure the perplexity of a text. Its tokens are cut into windows of the model's context, at most 2048
tokens long unless --ctx asks for more, each of which starts afresh; the first token of a window is not scored. NLL is the mean negative log-likelihood of
a scored token in nats, perplexity its exponential.

With --compare the model is judged against a reference, such as the same model in f32: by how much
perplexity rises, the mean Kullback-Leibler divergence of the reference's distributions of the next
token from the model's, in nats, how often both find the same token most likely, and where they differ most. A reference of the hub is taken in f32.` + hubHelp,
		Example: `  tti eval fable.tti --text testdata/golden/fable-eval.txt
  tti eval fable-int4.tti --text story.txt --compare fable-f32.tti
  tti eval fable.tti --text - --json < story.txt`,
		Args:              exactly("MODEL"),
		ValidArgsFunction: completeFiles,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if path == "" {
				return usagef(cmd, "--text is missing, want the file to score")
			}
			text, err := readText(cmd, path)
			if err != nil {
				return err
			}
			file, err := modes.file(ctx, cmd, args[0])
			if err != nil {
				return err
			}
			compared := reference
			if reference != "" {
				if compared, err = otherFile(ctx, cmd, reference, convert.Options{Mode: convert.F32}); err != nil {
					return err
				}
			}
			model, err := openModel(file, flags.options()...)
			if err != nil {
				return err
			}
			defer model.Close()
			var found evaluation
			ids, err := model.Tokenizer().EncodePrompt(text)
			if err == nil {
				found, err = evaluate(ctx, cmd, model, compared, flags.contextOption(), ids)
			}
			if found.Model = args[0]; found.Compare != nil {
				found.Compare.Reference = reference
			}
			switch {
			case errors.Is(err, tokenizer.ErrTooLong), errors.Is(err, runtime.ErrEmpty): // the text is at fault
				return fmt.Errorf("%s: %w", path, err)
			case err != nil:
				return about(args[0], err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), found)
			}
			return write(cmd.OutOrStdout(), found.String())
		}),
	}
	cmd.Flags().StringVar(&path, "text", "", "the `FILE` to score, - for standard input")
	cmd.Flags().StringVar(&reference, "compare", "", "the `MODEL` to compare predictions with")
	cmd.MarkFlagFilename("compare", "tti")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	flags.register(cmd)
	modes.registerHub(cmd)
	return cmd
}

// evaluate scores the model, and compares it with the reference if there is one.
func evaluate(ctx context.Context, cmd *cobra.Command, model *runtime.Model, reference string, contextOption runtime.Option, ids []int32) (evaluation, error) {
	found := evaluation{KV: model.KV().String(), KVBytes: model.KVBytes(model.Shape().Context)}
	bar := newProgress(cmd.ErrOrStderr(), "scoring tokens", false)
	defer bar.close()
	progress := func(done, total int) { bar.set(int64(done), int64(total)) }
	if reference == "" {
		score, err := model.Evaluate(ctx, ids, progress)
		found.Score = score
		return found, err
	}
	other, err := openModel(reference, runtime.WithThreads(model.Threads()), contextOption)
	if err != nil {
		return found, err
	}
	defer other.Close()
	c, err := runtime.Compare(ctx, other, model, ids, worstCases, progress)
	if errors.Is(err, runtime.ErrMismatch) {
		err = fmt.Errorf("compare with %s: %w", reference, err)
	}
	if err != nil {
		return found, err
	}
	found.Score = c.Model
	found.Compare = &comparison{
		Reference: reference, Perplexity: c.Reference.Perplexity, NLL: c.Reference.NLL, Rise: c.Rise,
		Divergence: c.Divergence, Agreement: c.Agreement, Worst: []worstCase{},
	}
	for _, d := range c.Worst {
		worst := worstCase{Deviation: d}
		for text, tokens := range map[*string][]int32{
			&worst.Before: ids[max(0, d.Position-contextTokens):d.Position], &worst.Text: {d.Token},
			&worst.ReferenceText: {d.ReferenceBest}, &worst.ModelText: {d.ModelBest},
		} {
			if *text, err = model.Tokenizer().Decode(tokens); err != nil {
				return found, err
			}
		}
		found.Compare.Worst = append(found.Compare.Worst, worst)
	}
	return found, nil
}

// String returns the text of a human reader.
func (e evaluation) String() string {
	var text strings.Builder
	table := newTable(&text, 0)
	fmt.Fprintf(table, "tokens\t%d\nscored\t%d\nnll\t%.6f\nperplexity\t%.4f\nKV cache\t%s, %s when the context is full\n",
		e.Tokens, e.Scored, e.NLL, e.Perplexity, e.KV, humanSize(e.KVBytes))
	c := e.Compare
	if c == nil {
		table.Flush()
		return text.String()
	}
	fmt.Fprintf(table, "reference\t%s\nits perplexity\t%.4f\nrise\t%+.3f %%\nmean KL divergence\t%.6f nats\ntop-1 agreement\t%.2f %%\n",
		c.Reference, c.Perplexity, 100*c.Rise, c.Divergence, 100*c.Agreement)
	table.Flush()
	if len(c.Worst) == 0 {
		return text.String()
	}
	fmt.Fprintln(&text, "\nwhere they differ most, with the probability of the text's token and what each finds most likely:")
	table = newTable(&text, 0)
	fmt.Fprintln(table, "position\tKL\ttext\treference\tmodel")
	for _, w := range c.Worst {
		fmt.Fprintf(table, "%d\t%.3f\t%q %q\t%.4f %q\t%.4f %q\n",
			w.Position, w.Divergence, w.Before, w.Text, w.ReferenceProbability, w.ReferenceText, w.ModelProbability, w.ModelText)
	}
	table.Flush()
	return text.String()
}

// readText reads a file, or standard input for "-".
func readText(cmd *cobra.Command, path string) (string, error) {
	if path == "-" {
		return readInput(cmd.InOrStdin())
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
