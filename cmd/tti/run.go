package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// runFlags are the flags of run.
type runFlags struct {
	modelFlags
	modes        modeFlags
	set          *pflag.FlagSet // of the command
	prompt, file string
	raw          bool
	system       string
	template     string // file
	tokens       count
	draw         samplingFlags
	stops        []string
	special      bool
	ignoreEOS    bool
	draft        draftFlags
	draftLength  count
	escapes      escapesFlag
	highlight    bool
	noHistory    bool
	stats        bool
	json, stream bool
}

// newRunFlags returns the flags with their defaults.
func newRunFlags() *runFlags {
	return &runFlags{
		tokens:      count{value: 64, most: math.MaxInt32},
		draw:        newSamplingFlags(),
		draftLength: count{most: spec.MaxLength},
	}
}

func newRun() *cobra.Command {
	flags := newRunFlags()
	cmd := &cobra.Command{
		Use:   "run MODEL [PROMPT]",
		Short: "Chat with a model, or let it continue a text",
		Long: `Let a model answer. A model with a chat template chats: the prompt is a user's message, and what is written to
standard output is the answer. Others, and all with --raw, continue the prompt as the text that it is; then the continuation is
written, without the prompt.

The prompt is PROMPT, --prompt or the text in --file, or else all of standard input up to one newline at its end. On a terminal
there is a prompt to type at instead, which keeps what has been said; /help lists what else there is. Where the context is full, the oldest
messages are forgotten. An empty prompt begins a new text, if the model has a token for that.

Tokens are drawn as the model's generation_config asks, and otherwise at temperature 0.8 with top-p 0.95. A text ends
with a token by which the model ends it, after -n tokens, before a --stop string, or where the model's context is full. An interrupt
(Ctrl-C) ends it too, with exit code 130; at the typed prompt it only ends the answer.

With --draft, something cheap guesses ahead and the model checks the guesses together, which is faster
where they are often right: a smaller model with the same vocabulary, the same model in fewer bits, or
with ngram what followed the same words earlier in the text. What does not pay is not used. The text
is the same with any draft and without. (A file called ngram is ./ngram.)` + hubHelp,
		Example: `  tti run llama.tti
  tti run Qwen/Qwen3-0.6B --mode int4
  tti run llama.tti "Why is the sky blue?" --system "Answer in one sentence."
  tti run fable.tti --raw "Once upon a time" -n 200 --temp 0.7 --seed 7
  tti run fable.tti --file story.txt --draft fable-draft.tti --highlight
  echo "The old king" | tti run fable.tti --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return fmt.Errorf("%d arguments given, want MODEL and perhaps PROMPT, in quotes if it has spaces", len(args))
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(cmd, args); err != nil {
				return err
			}
			typed := !flags.prompted() && isTerminal(cmd.InOrStdin())
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
	f.set = cmd.Flags()
	set := f.set
	set.SortFlags = false
	set.StringVarP(&f.prompt, "prompt", "p", "", "the `TEXT` to answer or to continue, - for standard input")
	set.StringVarP(&f.file, "file", "f", "", "the `FILE` with that text, - for standard input")
	set.BoolVar(&f.raw, "raw", false, "continue plain text, also with a model that chats")
	set.StringVar(&f.system, "system", "", "the `TEXT` of the system prompt of a chat")
	set.StringVar(&f.template, "template", "", "chat by the Jinja template in `FILE` instead of the model's own")
	cmd.MarkFlagFilename("template")
	set.VarP(&f.tokens, "tokens", "n", "how many tokens to generate at most (default 64; in a chat until the model ends)")
	set.Lookup("tokens").DefValue = "" // which depends
	f.draw.register(cmd)
	set.StringArrayVar(&f.stops, "stop", nil, "end before this `TEXT`; may be given several times")
	set.BoolVar(&f.special, "special", false, "turn text such as <|endoftext|> in the prompt into the control token it names")
	set.BoolVar(&f.ignoreEOS, "ignore-eos", false, "go on after a token that ends a text")
	f.draft.register(cmd)
	set.Var(&f.draftLength, "draft-len", "check this many guesses at a time; 0, the default: as many as are worth it")
	f.escapes.register(cmd)
	set.BoolVar(&f.highlight, "highlight", false, "colour what was guessed right, on a terminal; NO_COLOR turns it off")
	set.BoolVar(&f.noHistory, "no-history", false, "neither bring back lines typed on other days nor keep those of today")
	set.BoolVar(&f.stats, "stats", false, "show speeds, the fill of the context, the seed and what became of the guesses on standard error")
	set.BoolVar(&f.json, "json", false, "print one JSON object at the end instead of the text")
	set.BoolVar(&f.stream, "stream", false, "with --json: print an object for each token too, one in a line, before the one at the end")
	f.register(cmd)
	f.modes.registerHub(cmd)
}

// prompted reports whether a prompt was given in the command line.
func (f *runFlags) prompted() bool { return f.set.Changed("prompt") || f.set.Changed("file") }

// check refuses flags that contradict each other or have no effect. PROMPT counts as --prompt from here on.
func (f *runFlags) check(cmd *cobra.Command, args []string) error {
	given := func(name string) bool { return f.set.Changed(name) }
	if len(args) > 1 {
		if f.prompted() {
			return usagef(cmd, "the prompt is given twice, as PROMPT and as a flag")
		}
		if err := f.set.Set("prompt", args[1]); err != nil {
			return err
		}
	}
	for _, pair := range []struct {
		flag, needs string
		missing     bool
	}{
		{"draft-len", "draft", len(f.draft.drafts) == 0},
		{"highlight", "draft", len(f.draft.drafts) == 0},
		{"stream", "json", !f.json},
	} {
		if given(pair.flag) && pair.missing {
			return usagef(cmd, "--%s belongs to --%s", pair.flag, pair.needs)
		}
	}
	switch {
	case given("prompt") && given("file"):
		return usagef(cmd, "the prompt is given twice, as a text and as --file")
	case f.highlight && f.json:
		return usagef(cmd, "--highlight is for text, --json was given too")
	case f.raw && given("system"):
		return usagef(cmd, "--system is for a chat, --raw was given too")
	case f.raw && given("template"):
		return usagef(cmd, "--template is for a chat, --raw was given too")
	}
	if given("temp") {
		return f.draw.check(cmd)
	}
	return nil // else the model decides on the temperature
}

// answer is the object of run --json.
type answer struct {
	Model        string               `json:"model"`
	PromptIDs    []int32              `json:"prompt_ids"`
	IDs          []int32              `json:"ids"` // an end-of-text token included
	Text         string               `json:"text"`
	FinishReason runtime.FinishReason `json:"finish_reason"` // stop, length, context or cancelled
	Chat         bool                 `json:"chat"`          // the prompt was a message, by the model's chat template
	Context      int                  `json:"context"`       // positions, of which prompt and text take one each
	Sampling     drawn                `json:"sampling"`
	Stats        stats                `json:"stats"`
}

// piece is an object of run --json --stream: one token. The last object is the answer.
type piece struct {
	ID     int32       `json:"id"`
	Text   string      `json:"text"`
	Origin spec.Origin `json:"origin"` // who came up with it: target, draft or n-gram
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
	Judged         int     `json:"judged"`          // guesses after right ones, which alone can prove right
	AcceptanceRate float64 `json:"acceptance_rate"` // accepted / judged
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
		Judged:         s.Accepted + s.Rejected,
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
		text += fmt.Sprintf("; %d guesses, %d accepted: acceptance rate %.0f %% (of the %d whose forerunners were right), mean accepted length %.2f, %.2f target passes per token",
			s.Drafted, s.Accepted, 100*s.AcceptanceRate, s.Judged, s.MeanAccepted, float64(s.TargetPasses)/float64(max(s.DecodeTokens, 1)))
	}
	return text
}

// positions returns how many positions prompt and answer take. The last token needs none: nothing is computed from it.
func positions(prompt, answer int) int { return prompt + max(0, answer-1) }

// once answers one prompt.
func (f *runFlags) once(ctx context.Context, cmd *cobra.Command, path string) error {
	text, err := f.promptText(cmd)
	if err != nil {
		return err
	}
	g, err := f.open(ctx, cmd, path)
	if err != nil {
		return err
	}
	defer g.close()
	prompt, err := g.encodePrompt(text)
	if err != nil {
		return about(path, err)
	}
	f.explain(cmd)

	var outcome runtime.Outcome
	full := answer{
		Model: path, PromptIDs: prompt, IDs: []int32{},
		Chat: g.template != nil, Context: g.model.Shape().Context, Sampling: newDrawn(f.draw.sampling()),
	}
	output := f.newOutput(cmd.OutOrStdout())
	for token, err := range g.generate(ctx, prompt, &outcome) {
		if err != nil && outcome.Finish != runtime.FinishCancelled {
			return about(path, err)
		}
		if err != nil {
			break
		}
		full.IDs = append(full.IDs, token.ID)
		full.Text += token.Text
		if err := output.token(token); err != nil {
			return err
		}
	}
	full.FinishReason, full.Stats = outcome.Finish, newStats(outcome, g.decoder.Statistics())
	if err := output.end(full); err != nil {
		return err
	}
	if f.stats {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s; finished by %s; context %d of %d; %s\n", full.Stats.text(len(f.draft.drafts) > 0),
			full.FinishReason, positions(len(prompt), len(full.IDs)), full.Context, full.Sampling)
	}
	g.complain(cmd.ErrOrStderr())
	return ctx.Err()
}

// encodePrompt returns what the model reads of a prompt: a message, or the text that it continues.
func (g *generator) encodePrompt(text string) ([]int32, error) {
	var d dialogue
	if g.template != nil {
		d.setSystem(g.flags.system)
		d.add(said(userRole, text))
	} else if text != "" {
		d.add(said(userRole, text))
	}
	return g.reader().encode(d.turns)
}

// output is where the answer to one prompt goes.
type output struct {
	token func(spec.Token) error
	end   func(answer) error
}

func (f *runFlags) newOutput(stdout io.Writer) output {
	if f.json {
		return output{
			token: func(t spec.Token) error {
				if !f.stream {
					return nil
				}
				return writeJSON(stdout, piece{t.ID, t.Text, t.Origin})
			},
			end: func(full answer) error { return writeJSON(stdout, full) },
		}
	}
	text := f.newShown(stdout)
	return output{
		token: text.write,
		end: func(answer) error {
			if isTerminal(stdout) {
				return text.endLine() // for the shell's prompt
			}
			return text.end()
		},
	}
}

// promptText returns the prompt of the flags or of standard input.
func (f *runFlags) promptText(cmd *cobra.Command) (string, error) {
	if f.set.Changed("prompt") && f.prompt != "-" {
		return f.prompt, nil
	}
	path := "-"
	if f.set.Changed("file") {
		path = f.file
	}
	text, err := readText(cmd, path)
	// What echo and editors put at the end is hardly meant to be part of the text.
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), err
}

// beginning returns the prompt of a text that begins with nothing.
func beginning(m *runtime.Model, path string) ([]int32, error) {
	if prompt := m.Beginning(); len(prompt) > 0 {
		return prompt, nil
	}
	return nil, fmt.Errorf("%s: the prompt is empty, and the model has no token to begin a text with", path)
}

// about says which file an error is about, if it does not say so itself.
func about(path string, err error) error {
	if strings.HasPrefix(err.Error(), path+":") || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
