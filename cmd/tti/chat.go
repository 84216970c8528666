package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
)

const chatHelp = `Type the beginning of a text, and the model continues it. What you type next
follows that text in a new line. An empty line lets the model go on.
  /reset   forget the text so far
  /help    show this
  /quit    leave, as Ctrl-D does
Ctrl-C ends an answer. The arrow keys bring back lines typed before, also those
of another day.
`

// lineReader reads what a user types. It returns io.EOF at the end and liner.ErrPromptAborted for
// a line given up.
type lineReader interface {
	Prompt(prompt string) (string, error)
	AppendHistory(line string)
	Close() error
}

// newLineReader returns one with line editing where both streams are the process's terminal.
func newLineReader(cmd *cobra.Command) lineReader {
	if cmd.InOrStdin() == io.Reader(os.Stdin) && cmd.OutOrStdout() == io.Writer(os.Stdout) && isTerminal(os.Stdout) {
		return newLineEditor()
	}
	return &plainLines{bufio.NewReader(cmd.InOrStdin()), cmd.ErrOrStderr()}
}

// lineEditor keeps its history from one run to the next, in the user's cache directory if there is one.
type lineEditor struct {
	*liner.State
	history string // file name, empty for none
}

func newLineEditor() *lineEditor {
	e := &lineEditor{State: liner.NewLiner()}
	e.SetCtrlCAborts(true)
	e.SetMultiLineMode(true)
	if cache, err := os.UserCacheDir(); err == nil {
		e.history = filepath.Join(cache, "tti", "history")
	}
	if file, err := os.Open(e.history); err == nil {
		e.ReadHistory(file)
		file.Close()
	}
	return e
}

// Close gives the terminal back. A history that cannot be kept is no reason to bother the user.
func (e *lineEditor) Close() error {
	if e.history != "" && os.MkdirAll(filepath.Dir(e.history), 0o755) == nil {
		if file, err := os.OpenFile(e.history, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
			e.WriteHistory(file)
			file.Close()
		}
	}
	return e.State.Close()
}

// plainLines leaves editing to the terminal and keeps its prompts out of standard output.
type plainLines struct {
	in      *bufio.Reader
	prompts io.Writer
}

func (p *plainLines) Prompt(prompt string) (string, error) {
	io.WriteString(p.prompts, prompt)
	line, err := p.in.ReadString('\n')
	if err == io.EOF && line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

func (p *plainLines) AppendHistory(string) {}
func (p *plainLines) Close() error         { return nil }

// conversation is one text that user and model write in turns.
type conversation struct {
	*generator
	tokens []int32 // the text so far
	out    io.Writer
	notes  io.Writer // for everything that is not the text
}

// chat opens the model and lets the user type until the end.
func (f *runFlags) chat(cmd *cobra.Command, path string) error {
	g, err := f.open(path)
	if err != nil {
		return err
	}
	defer g.close()
	c := &conversation{generator: g, out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr()}
	fmt.Fprintf(c.notes, "%s: %s, context of %d tokens. /help explains, Ctrl-D leaves.\n",
		printable(path), printable(g.model.Meta().Mode), g.model.Shape().Context)
	f.explain(cmd)
	lines := newLineReader(cmd)
	defer lines.Close()
	return c.loop(cmd.Context(), lines)
}

// loop takes turns until the user leaves.
func (c *conversation) loop(ctx context.Context, lines lineReader) error {
	for {
		line, err := lines.Prompt("> ")
		switch {
		case err == io.EOF:
			fmt.Fprintln(c.notes)
			return nil
		case errors.Is(err, liner.ErrPromptAborted):
			fmt.Fprintln(c.notes, "Ctrl-D leaves.")
			continue
		case err != nil:
			return fmt.Errorf("read the terminal: %w", err)
		}
		if line != "" {
			lines.AppendHistory(line)
		}
		switch command := strings.TrimSpace(line); {
		case command == "/quit":
			return nil
		case command == "/reset":
			c.tokens = nil
		case command == "/help":
			io.WriteString(c.notes, chatHelp)
		case strings.HasPrefix(line, "/"):
			fmt.Fprintf(c.notes, "There is no %s; /help lists what there is.\n", printable(command))
		default:
			if err := c.turn(ctx, line); err != nil {
				return err
			}
		}
	}
}

// turn adds a line to the text and lets the model go on. What the user can mend is no error.
func (c *conversation) turn(ctx context.Context, line string) error {
	prompt, err := c.extended(line)
	if err != nil {
		fmt.Fprintf(c.notes, "%s\n", oneLine(err))
		return nil
	}
	var outcome runtime.Outcome
	err = interruptible(ctx, func(ctx context.Context) error { return c.answer(ctx, prompt, &outcome) }, os.Interrupt)
	if errors.Is(err, runtime.ErrContextFull) {
		fmt.Fprintf(c.notes, "%s; /reset forgets the text so far.\n", oneLine(err))
		return nil
	}
	if err != nil && outcome.Finish != runtime.FinishCancelled {
		return about(c.path, err)
	}
	if c.flags.stats {
		fmt.Fprintf(c.notes, "[%s]\n", newStats(outcome, c.decoder.Statistics()).text(len(c.flags.draft.drafts) > 0))
	}
	c.complain(c.notes)
	if outcome.Finish == runtime.FinishContext {
		fmt.Fprintln(c.notes, "The context is full; /reset forgets the text so far.")
	}
	return ctx.Err()
}

// extended returns the text so far and a line more.
func (c *conversation) extended(line string) ([]int32, error) {
	if len(c.tokens) > 0 && line != "" {
		line = "\n" + line
	}
	ids, err := encode(c.model.Tokenizer(), line, c.flags.special)
	if err != nil {
		return nil, err
	}
	if prefix := c.model.Tokenizer().WithPrefix(nil); len(c.tokens) > 0 { // the text has begun already
		ids = ids[len(prefix):]
	}
	if prompt := append(c.tokens[:len(c.tokens):len(c.tokens)], ids...); len(prompt) > 0 {
		return prompt, nil
	}
	return beginning(c.model, c.path)
}

// answer writes what follows the prompt, which with it becomes the text so far. If the model cannot
// go on from the prompt, the text stays as it was.
func (c *conversation) answer(ctx context.Context, prompt []int32, outcome *runtime.Outcome) error {
	tokens, last := prompt, ""
	for token, err := range c.generate(ctx, prompt, outcome) {
		if err != nil && outcome.Finish != runtime.FinishCancelled {
			return err
		}
		if err != nil {
			break
		}
		tokens = append(tokens, token.ID)
		if token.Text != "" {
			last = token.Text
		}
		if err := write(c.out, c.flags.shown(token, c.out)); err != nil {
			return err
		}
	}
	if n := len(tokens); n > len(prompt) && slices.Contains(c.model.Ends(), tokens[n-1]) && outcome.Finish == runtime.FinishStop {
		tokens = tokens[:n-1] // or the model would take what comes next for another text
	}
	c.tokens = tokens
	if !strings.HasSuffix(last, "\n") {
		return write(c.out, "\n")
	}
	return nil
}
