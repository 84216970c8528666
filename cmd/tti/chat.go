package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/lineedit"
	"github.com/tti-llm/tti/runtime"
)

// conversation is what user and model say in turns: messages, where the model has a chat template, or one text that both write.
type conversation struct {
	*generator
	dialogue
	open  bool // the latest answer was not ended by the model, which can go on with it
	out   io.Writer
	notes io.Writer // for everything that is not the model's text
}

// chat lets the user of the terminal type until the end.
func (f *runFlags) chat(cmd *cobra.Command, path string) error {
	var g *generator
	err := interruptible(cmd.Context(), func(ctx context.Context) (err error) { // what is typed later is interrupted otherwise
		g, err = f.open(ctx, cmd, path)
		return err
	}, os.Interrupt, syscall.SIGTERM)
	if err != nil {
		return err
	}
	defer g.close()
	c := newConversation(g, cmd.OutOrStdout(), newNotes(cmd.ErrOrStderr()))
	if err := c.begin(); err != nil {
		return err
	}
	kind := "plain text"
	if g.template != nil {
		kind = "chat"
	}
	fmt.Fprintf(c.notes, "%s: %s, context of %d tokens, %s. /help explains, Ctrl-D leaves.\n",
		printable(g.path), printable(g.model.Meta().Mode), g.model.Shape().Context, kind)
	f.explain(cmd)
	lines := newLineReader(cmd, !f.noHistory, c.complete)
	defer lines.Close()
	return c.loop(cmd.Context(), lines)
}

func newConversation(g *generator, out, notes io.Writer) *conversation {
	return &conversation{generator: g, out: out, notes: notes}
}

// begin sets the system prompt of the flag.
func (c *conversation) begin() error {
	if c.flags.system == "" {
		return nil
	}
	return c.instruct(c.flags.system)
}

// instruct sets the system prompt, unless the model's template takes none.
func (c *conversation) instruct(text string) error {
	trial := []turn{said(userRole, "")}
	if text != "" {
		trial = []turn{said(systemRole, text), said(userRole, "")}
	}
	if _, err := c.reader().encode(trial); err != nil {
		return fmt.Errorf("%s: system prompt: %w", c.path, err)
	}
	c.setSystem(text)
	return nil
}

// loop takes turns until the user leaves.
func (c *conversation) loop(ctx context.Context, lines lineReader) error {
	for {
		typed, err := readEntry(lines)
		switch {
		case err == io.EOF:
			fmt.Fprintln(c.notes)
			return nil
		case errors.Is(err, lineedit.ErrAborted):
			fmt.Fprintln(c.notes, "Ctrl-D leaves.")
			continue
		case err != nil:
			return fmt.Errorf("read the terminal: %w", err)
		}
		if err := c.take(ctx, typed); errors.Is(err, errQuit) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// take does what the user has typed: a command or a turn.
func (c *conversation) take(ctx context.Context, typed entry) error {
	if typed.command {
		return c.command(ctx, typed.text)
	}
	text := strings.ToValidUTF8(typed.text, "\ufffd")
	if c.template == nil {
		text = typed.text // the tokenizer takes all bytes
	}
	if empty := strings.TrimSpace(text) == ""; empty && c.template != nil || text == "" {
		return c.goOn(ctx)
	}
	before := len(c.turns)
	c.add(said(userRole, text))
	answered, err := c.reply(ctx)
	if !answered {
		c.cut(before)
	}
	return err
}

// goOn lets the model continue its answer, or the text.
func (c *conversation) goOn(ctx context.Context) error {
	if c.template != nil && !c.open {
		fmt.Fprintln(c.notes, "Type something; /help explains.")
		return nil
	}
	_, err := c.reply(ctx)
	return err
}

// room returns for how many tokens of an answer older turns are forgotten.
func (c *conversation) room() int {
	room := max(1, c.model.Shape().Context/4)
	if most, limited := c.flags.limit(c.template != nil); limited {
		room = min(room, most)
	}
	return room
}

// reply lets the model speak, and adds what it says to its latest turn or as a new one. What the user can mend is no error: then there is
// no answer.
func (c *conversation) reply(ctx context.Context) (answered bool, err error) {
	prompt, err := c.fit(c.reader(), c.room(), c.model.Shape().Context)
	if err != nil {
		fmt.Fprintf(c.notes, "%s\n", oneLine(err))
		return false, nil
	}
	c.tellForgotten(prompt)
	var outcome runtime.Outcome
	err = interruptible(ctx, func(ctx context.Context) error { return c.answer(ctx, prompt.ids, &outcome) }, os.Interrupt)
	if err != nil && outcome.Finish != runtime.FinishCancelled {
		return true, about(c.path, err)
	}
	c.tell(len(prompt.ids), outcome)
	return true, ctx.Err()
}

// tellForgotten says in a line what the model does not read any more.
func (c *conversation) tellForgotten(f fitting) {
	switch {
	case f.forgotten == 1:
		fmt.Fprintln(c.notes, "[The context is full: the oldest message is not read any more.]")
	case f.forgotten > 1:
		fmt.Fprintf(c.notes, "[The context is full: the oldest %d messages are not read any more.]\n", f.forgotten)
	}
	if f.cut > 0 {
		fmt.Fprintf(c.notes, "[The context is full: the first %d tokens of the text are not read any more.]\n", f.cut)
	}
}

// tell says what there is to say of an answer.
func (c *conversation) tell(prompt int, outcome runtime.Outcome) {
	if c.flags.stats {
		s := newStats(outcome, c.decoder.Statistics())
		fmt.Fprintf(c.notes, "[%s; context %d of %d; %s]\n", s.text(len(c.flags.draft.drafts) > 0),
			positions(prompt, outcome.Tokens), c.model.Shape().Context, newDrawn(c.flags.draw.sampling()))
	}
	c.complain(c.notes)
	switch {
	case outcome.Finish == runtime.FinishContext:
		fmt.Fprintln(c.notes, "[The context is full; the next turn makes room.]")
	case outcome.Finish == runtime.FinishLength && c.template != nil:
		fmt.Fprintf(c.notes, "[Cut after %d tokens; an empty line goes on.]\n", outcome.Tokens)
	}
}

// answer writes what follows the prompt and adds it to the dialogue.
func (c *conversation) answer(ctx context.Context, prompt []int32, outcome *runtime.Outcome) error {
	var text strings.Builder
	var ids []int32
	shown := c.flags.newShown(c.out)
	for token, err := range c.generate(ctx, prompt, outcome) {
		if err != nil && outcome.Finish != runtime.FinishCancelled {
			return err
		}
		if err != nil {
			break
		}
		ids = append(ids, token.ID)
		text.WriteString(token.Text)
		if err := shown.write(token); err != nil {
			return err
		}
	}
	if c.ended(ids, *outcome) {
		ids = ids[:len(ids)-1] // or the model would take what comes next for another text
	}
	c.open = outcome.Finish != runtime.FinishStop
	c.keep(text.String(), ids)
	return shown.endLine()
}

// keep adds an answer to the latest turn, if that is an answer too, or as a turn of its own.
func (c *conversation) keep(text string, ids []int32) {
	if c.template != nil {
		text, ids = strings.ToValidUTF8(text, "\ufffd"), nil
	} else if ids == nil {
		ids = []int32{}
	}
	latest, found := c.last(assistantRole)
	if !found {
		c.add(turn{said(assistantRole, text).Message, ids})
		return
	}
	joined := said(assistantRole, latest.text()+text)
	if c.template == nil && (latest.ids != nil || latest.text() == "") {
		joined.ids = append(latest.ids[:len(latest.ids):len(latest.ids)], ids...)
	}
	c.turns[len(c.turns)-1] = joined
}
