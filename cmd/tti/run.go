package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
)

// runFlags are the flags of run.
type runFlags struct {
	modelFlags
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
		penalty:     number{value: 1, most: math.MaxFloat64},
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
it only ends the answer.`,
		Example: `  tti run fable.tti --prompt "Once upon a time"
  tti run fable.tti --prompt "Once upon a time" -n 200 --temp 0.8 --top-p 0.95 --seed 7
  echo "The old king" | tti run fable.tti --json
  tti run fable.tti`,
		Args:              exactly("FILE.tti"),
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
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
	set.BoolVar(&f.stats, "stats", false, "show speeds on standard error")
	set.BoolVar(&f.json, "json", false, "print one JSON object at the end instead of the text")
	f.register(cmd)
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

// generate yields the tokens that follow the prompt, the beginning of which the session may hold
// already, and fills outcome. Whatever draws tokens in another way belongs here.
func (f *runFlags) generate(ctx context.Context, s *runtime.Session, prompt []int32, outcome *runtime.Outcome) iter.Seq2[runtime.Token, error] {
	options := []runtime.GenerateOption{runtime.MaxTokens(f.tokens.value), runtime.Stop(f.stops...), runtime.Report(outcome)}
	if f.ignoreEOS {
		options = append(options, runtime.IgnoreEndOfText())
	}
	return s.Generate(ctx, prompt, f.sampling(), options...)
}

// answer is the object of run --json.
type answer struct {
	Model        string               `json:"model"`
	PromptIDs    []int32              `json:"prompt_ids"`
	IDs          []int32              `json:"ids"` // an end-of-text token included
	Text         string               `json:"text"`
	FinishReason runtime.FinishReason `json:"finish_reason"`
	Stats        speeds               `json:"stats"`
}

// speeds are in tokens per second, 0 where there is nothing to measure.
type speeds struct {
	PromptTokens int     `json:"prompt_tokens"`
	Prefill      float64 `json:"prefill_tok_s"` // up to the first token
	Decode       float64 `json:"decode_tok_s"`  // of the tokens after the first
	DecodeTokens int     `json:"decode_tokens"` // all of them
}

// newSpeeds returns the speeds of an outcome, for which computed tokens of the prompt were run.
func newSpeeds(o runtime.Outcome, computed int) speeds {
	return speeds{
		PromptTokens: computed,
		Prefill:      perSecond(computed, o.Prefill),
		Decode:       perSecond(o.Tokens-1, o.Decode),
		DecodeTokens: o.Tokens,
	}
}

func perSecond(n int, elapsed time.Duration) float64 {
	if n <= 0 || elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

func (s speeds) String() string {
	return fmt.Sprintf("%d prompt tokens, %.1f tok/s; %d new tokens, %.1f tok/s", s.PromptTokens, s.Prefill, s.DecodeTokens, s.Decode)
}

// once answers one prompt.
func (f *runFlags) once(ctx context.Context, cmd *cobra.Command, path string) error {
	text, err := f.promptText(cmd)
	if err != nil {
		return err
	}
	model, err := runtime.Open(path, f.options()...)
	if err != nil {
		return err
	}
	defer model.Close()
	prompt, err := encode(model.Tokenizer(), text, f.special)
	if err != nil {
		return err
	}
	if len(prompt) == 0 {
		if prompt, err = beginning(model, path); err != nil {
			return err
		}
	}
	session, err := model.NewSession()
	if err != nil {
		return err
	}

	var outcome runtime.Outcome
	full := answer{Model: path, PromptIDs: prompt, IDs: []int32{}}
	stdout := cmd.OutOrStdout()
	for token, err := range f.generate(ctx, session, prompt, &outcome) {
		if err != nil && outcome.Finish != runtime.FinishCancelled {
			return about(path, err)
		}
		if err != nil {
			break
		}
		full.IDs = append(full.IDs, token.ID)
		full.Text += token.Text
		if !f.json {
			if err := write(stdout, token.Text); err != nil {
				return err
			}
		}
	}
	full.FinishReason, full.Stats = outcome.Finish, newSpeeds(outcome, len(prompt))
	if err := f.finish(cmd, full); err != nil {
		return err
	}
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
		fmt.Fprintf(cmd.ErrOrStderr(), "%v; finished by %s\n", full.Stats, full.FinishReason)
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
	id := m.Shape().Beginning
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
