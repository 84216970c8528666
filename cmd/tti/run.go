package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// runFlags are the flags of run.
type runFlags struct {
	modelFlags
	draft       draftFlags
	draftLength count
	prompt      string
	tokens      count
	temperature number
	topK        count
	topP, minP  number
	penalty     number
	stops       []string
	seed        uint64
	special     bool
	ignoreEOS   bool
	escapes     escapesFlag
	highlight   bool
	stats       bool
	json        bool
}

// newRunFlags returns the flags with their defaults.
func newRunFlags() *runFlags {
	return &runFlags{
		tokens:      count{value: 64, most: math.MaxInt32},
		temperature: number{most: math.MaxFloat64},
		topK:        count{most: math.MaxInt32},
		topP:        number{value: 1, most: 1},
		minP:        number{most: 1},
		penalty:     number{value: 1, most: math.MaxFloat32, single: true},
		draftLength: count{most: spec.MaxLength},
	}
}

func newRun() *cobra.Command {
	flags := newRunFlags()
	cmd := &cobra.Command{
		Use:   "run FILE.tti",
		Short: "Continue a text",
		Long: `Continue a text with the model in a .tti file. The continuation, without the prompt, is written to
standard output as it comes.

The prompt is --prompt, or else all of standard input up to one newline at its end. On a terminal
there is a prompt to type at instead, which keeps the text so far until /reset; /help lists more. An
empty prompt begins a new text, if the model has a token for that.

The text ends after -n tokens, with the model's end-of-text token, before a --stop string, or where
the model's context is full. An interrupt (Ctrl-C) ends it too, with exit code 130; at the typed prompt
it only ends the answer.

With --draft, something cheap guesses ahead and the model checks the guesses together, which is faster
where they are often right: a smaller model with the same vocabulary, the same model in fewer bits, or
with ngram what followed the same words earlier in the text. What does not pay is not used. The text
is the same with any draft and without. (A file called ngram is ./ngram.)`,
		Example: `  tti run fable.tti --prompt "Once upon a time"
  tti run fable.tti --prompt "Once upon" -n 200 --temp 0.8 --top-p 0.95 --seed 7
  tti run fable.tti --prompt "Once upon" --draft fable-draft.tti --highlight
  echo "The old king" | tti run fable.tti --json
  tti run fable.tti`,
		Args:              exactly("FILE.tti"),
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(cmd); err != nil {
				return err
			}
			typed := !cmd.Flags().Changed("prompt") && isTerminal(cmd.InOrStdin())
			if typed && flags.json {
				return usagef(cmd, "--json is given without a prompt, want --prompt or standard input from a file or pipe")
			}
			if typed {
				return flags.chat(cmd, args[0])
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error {
				return flags.once(ctx, cmd, args[0])
			}, os.Interrupt, syscall.SIGTERM)
		},
	}
	flags.add(cmd)
	return cmd
}

// add adds the flags to a command.
func (f *runFlags) add(cmd *cobra.Command) {
	set := cmd.Flags()
	set.SortFlags = false
	set.StringVar(&f.prompt, "prompt", "", "the `TEXT` to continue, - for standard input")
	set.VarP(&f.tokens, "tokens", "n", "how many tokens to generate at most")
	set.Var(&f.temperature, "temp", "temperature; 0, the default, always takes the most probable token")
	set.Var(&f.topK, "top-k", "draw from the k most probable tokens; 0: from all")
	set.Var(&f.topP, "top-p", "draw from the most probable tokens that make up this share; 1: from all")
	set.Var(&f.minP, "min-p", "draw from tokens at least this share as probable as the best one; 0: from all")
	set.Var(&f.penalty, "repeat-penalty", "make tokens that occurred this much less likely; 1: not at all")
	set.StringArrayVar(&f.stops, "stop", nil, "end before this `TEXT`; may be given several times")
	set.Uint64Var(&f.seed, "seed", 0, "what draws depend on: the same seed, the same text")
	set.BoolVar(&f.special, "special", false, "turn text such as <|endoftext|> in the prompt into the control token it names")
	set.BoolVar(&f.ignoreEOS, "ignore-eos", false, "go on after an end-of-text token")
	f.draft.register(cmd)
	set.Var(&f.draftLength, "draft-len", "check this many guesses at a time; 0, the default: as many as are worth it")
	f.escapes.register(cmd)
	set.BoolVar(&f.highlight, "highlight", false, "colour what was guessed right, on a terminal; NO_COLOR turns it off")
	set.BoolVar(&f.stats, "stats", false, "show speeds and what became of the guesses on standard error")
	set.BoolVar(&f.json, "json", false, "print one JSON object at the end instead of the text")
	f.register(cmd)
}

func (f *runFlags) check(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("draft-len") && len(f.draft.drafts) == 0:
		return usagef(cmd, "--draft-len belongs to --draft")
	case f.highlight && f.json:
		return usagef(cmd, "--highlight is for text, --json was given too")
	}
	return nil
}

func (f *runFlags) sampling() runtime.Sampling {
	return runtime.Sampling{
		Temperature:       f.temperature.value,
		TopK:              f.topK.value,
		TopP:              f.topP.value,
		MinP:              f.minP.value,
		RepetitionPenalty: f.penalty.value,
		Seed:              f.seed,
	}
}

// answer is the object of run --json.
type answer struct {
	Model        string               `json:"model"`
	PromptIDs    []int32              `json:"prompt_ids"`
	IDs          []int32              `json:"ids"` // an end-of-text token included
	Text         string               `json:"text"`
	FinishReason runtime.FinishReason `json:"finish_reason"`
	Stats        stats                `json:"stats"`
}

// stats are rates and counts of one text, 0 where there is nothing to measure.
type stats struct {
	PromptTokens   int     `json:"prompt_tokens"` // that were run
	Prefill        float64 `json:"prefill_tok_s"` // up to the first token
	Decode         float64 `json:"decode_tok_s"`  // of the tokens after the first
	DecodeTokens   int     `json:"decode_tokens"` // all of them
	TargetPasses   int     `json:"target_passes"` // the one over the prompt included
	Drafted        int     `json:"drafted"`
	Accepted       int     `json:"accepted"`
	AcceptanceRate float64 `json:"acceptance_rate"` // of guesses after right ones
	MeanAccepted   float64 `json:"mean_accepted_length"`
}

func newStats(o runtime.Outcome, s spec.Statistics) stats {
	return stats{
		PromptTokens:   s.Prefilled,
		Prefill:        perSecond(s.Prefilled, o.Prefill),
		Decode:         perSecond(o.Tokens-1, o.Decode),
		DecodeTokens:   o.Tokens,
		TargetPasses:   s.TargetPasses,
		Drafted:        s.Drafted,
		Accepted:       s.Accepted,
		AcceptanceRate: s.AcceptanceRate(),
		MeanAccepted:   s.MeanAcceptedLength(),
	}
}

func perSecond(n int, elapsed time.Duration) float64 {
	if n <= 0 || elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

// text returns the numbers of a human reader, those about drafts too if there were any drafters.
func (s stats) text(drafting bool) string {
	text := fmt.Sprintf("%d prompt tokens, %.1f tok/s; %d new tokens, %.1f tok/s", s.PromptTokens, s.Prefill, s.DecodeTokens, s.Decode)
	if drafting {
		text += fmt.Sprintf("; %d drafted, %d accepted: acceptance rate %.0f %%, mean accepted length %.2f, %.2f target passes per token",
			s.Drafted, s.Accepted, 100*s.AcceptanceRate, s.MeanAccepted, float64(s.TargetPasses)/float64(max(s.DecodeTokens, 1)))
	}
	return text
}

// once answers one prompt.
func (f *runFlags) once(ctx context.Context, cmd *cobra.Command, path string) error {
	text, err := f.promptText(cmd)
	if err != nil {
		return err
	}
	g, err := f.open(path)
	if err != nil {
		return err
	}
	defer g.close()
	prompt, err := encode(g.model.Tokenizer(), text, f.special)
	if err != nil {
		return err
	}
	if len(prompt) == 0 {
		if prompt, err = beginning(g.model, path); err != nil {
			return err
		}
	}
	f.explain(cmd)

	var outcome runtime.Outcome
	full := answer{Model: path, PromptIDs: prompt, IDs: []int32{}}
	stdout := cmd.OutOrStdout()
	for token, err := range g.generate(ctx, prompt, &outcome) {
		if err != nil && outcome.Finish != runtime.FinishCancelled {
			return about(path, err)
		}
		if err != nil {
			break
		}
		full.IDs = append(full.IDs, token.ID)
		full.Text += token.Text
		if !f.json {
			if err := write(stdout, f.shown(token, stdout)); err != nil {
				return err
			}
		}
	}
	full.FinishReason, full.Stats = outcome.Finish, newStats(outcome, g.decoder.Statistics())
	if err := f.finish(cmd, full); err != nil {
		return err
	}
	g.complain(cmd.ErrOrStderr())
	return ctx.Err()
}

// finish writes what follows the text.
func (f *runFlags) finish(cmd *cobra.Command, full answer) error {
	stdout := cmd.OutOrStdout()
	if f.json {
		if err := writeJSON(stdout, full); err != nil {
			return err
		}
	} else if isTerminal(stdout) && !strings.HasSuffix(full.Text, "\n") {
		if err := write(stdout, "\n"); err != nil { // for the shell's prompt
			return err
		}
	}
	if f.stats {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s; finished by %s\n", full.Stats.text(len(f.draft.drafts) > 0), full.FinishReason)
	}
	return nil
}

// promptText returns the prompt of the flag or of standard input.
func (f *runFlags) promptText(cmd *cobra.Command) (string, error) {
	if cmd.Flags().Changed("prompt") && f.prompt != "-" {
		return f.prompt, nil
	}
	text, err := readInput(cmd.InOrStdin())
	// What echo and editors put at the end is hardly meant to be part of the text.
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), err
}

// beginning returns the prompt of a text that begins with nothing.
func beginning(m *runtime.Model, path string) ([]int32, error) {
	if prefix := m.Tokenizer().WithPrefix(nil); len(prefix) > 0 {
		return prefix, nil
	}
	id := m.Shape().BOS
	if id < 0 {
		return nil, fmt.Errorf("%s: the prompt is empty, and the model has no token to begin a text with", path)
	}
	return []int32{id}, nil
}

// about says which file an error is about, if it does not say so itself.
func about(path string, err error) error {
	if strings.HasPrefix(err.Error(), path+":") || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
