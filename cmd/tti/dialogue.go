package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/chat"
)

// Roles of a conversation.
const (
	systemRole    = "system"
	userRole      = "user"
	assistantRole = "assistant"
)

// turn is a message of a conversation.
type turn struct {
	chat.Message
	ids []int32 // of an answer, as the model drew them; nil where it is known as text alone
}

func said(role, text string) turn { return turn{Message: chat.Text(role, text)} }

func (t turn) is(role string) bool {
	value, _ := t.Get("role")
	return value == role
}

// text returns the content, empty where that is no text.
func (t turn) text() string {
	value, _ := t.Get("content")
	text, _ := value.(string)
	return text
}

// dialogue is all that has been said, and how much of it the model still reads.
type dialogue struct {
	turns     []turn
	forgotten int // turns after the system prompt that the model does not read any more
}

// system returns how many system prompts there are at the beginning: 1 or none.
func (d *dialogue) system() int {
	if len(d.turns) > 0 && d.turns[0].is(systemRole) {
		return 1
	}
	return 0
}

// setSystem replaces the system prompt; an empty one takes it away.
func (d *dialogue) setSystem(text string) {
	d.turns = d.turns[d.system():]
	if text != "" {
		d.turns = slices.Concat([]turn{said(systemRole, text)}, d.turns)
	}
}

// view returns the turns that the model reads.
func (d *dialogue) view() []turn {
	n := d.system()
	return slices.Concat(d.turns[:n], d.turns[n+d.forgotten:])
}

func (d *dialogue) add(t turn) { d.turns = append(d.turns, t) }

// last returns the latest turn if it has the role.
func (d *dialogue) last(role string) (t turn, ok bool) {
	if len(d.turns) == 0 {
		return t, false
	}
	t = d.turns[len(d.turns)-1]
	return t, t.is(role)
}

// cut removes all turns from number n on.
func (d *dialogue) cut(n int) {
	d.turns = d.turns[:n:n]
	d.forgotten = min(d.forgotten, len(d.turns)-d.system())
}

// lastFrom returns the number of the latest turn of the role, or false.
func (d *dialogue) lastFrom(role string) (int, bool) {
	for i, t := range slices.Backward(d.turns) {
		if t.is(role) {
			return i, true
		}
	}
	return 0, false
}

// reset forgets all but the system prompt, and returns how many turns that were.
func (d *dialogue) reset() int {
	n := len(d.turns) - d.system()
	d.turns, d.forgotten = d.turns[:d.system()], 0
	return n
}

// forget lets the model read no more of the oldest exchange, which ends before a user's turn. It reports whether something is left.
func (d *dialogue) forget() bool {
	for i := d.system() + d.forgotten + 1; i < len(d.turns); i++ {
		if d.turns[i].is(userRole) {
			d.forgotten = i - d.system()
			return true
		}
	}
	return false
}

// reader is how a model reads a conversation.
type reader interface {
	// encode returns the ids of the turns up to where the model goes on.
	encode(turns []turn) ([]int32, error)
	// shorten returns the end of what was encoded, or fails if no less than whole turns makes sense.
	shorten(ids []int32, most int) ([]int32, error)
}

// fitting is what a model reads of a dialogue, and what it took for that to fit into its context.
type fitting struct {
	ids       []int32
	forgotten int // turns
	cut       int // tokens of the turn that is left
}

// fit forgets as many of the oldest exchanges as it takes for the rest, and an answer of so many tokens, to fit into the context. On an
// error nothing is forgotten.
func (d *dialogue) fit(r reader, room, context int) (f fitting, err error) {
	before := d.forgotten
	defer func() {
		if f.forgotten = d.forgotten - before; err != nil {
			d.forgotten = before
		}
	}()
	for {
		if f.ids, err = r.encode(d.view()); err != nil || len(f.ids)+room <= context {
			return f, err
		}
		if !d.forget() {
			break
		}
	}
	if len(f.ids) < context {
		return f, nil // with less room than wanted
	}
	short, err := r.shorten(f.ids, context-room)
	f.ids, f.cut = short, len(f.ids)-len(short)
	return f, err
}

// reader returns how the model reads.
func (g *generator) reader() reader {
	if g.template != nil {
		return conversational{g.template, g.model.Tokenizer()}
	}
	return continued{g.model, g.path, g.flags.special}
}

// conversational reads turns as a chat template has it.
type conversational struct {
	template *chat.Template
	encoder  chat.Encoder
}

// encode returns what the model reads up to where its answer begins, or goes on if the last turn is an answer.
func (c conversational) encode(turns []turn) ([]int32, error) {
	messages := make([]chat.Message, len(turns))
	for i, t := range turns {
		messages[i] = t.Message
	}
	goesOn := len(turns) > 0 && turns[len(turns)-1].is(assistantRole)
	return c.template.Encode(c.encoder, messages, chat.Options{AddGenerationPrompt: !goesOn, ContinueFinalMessage: goesOn})
}

func (c conversational) shorten(ids []int32, most int) ([]int32, error) {
	return nil, fmt.Errorf("%w: system prompt and message take %d tokens, which leave no room for an answer", runtime.ErrContextFull, len(ids))
}

// continued reads turns as one text, in which what a user types begins a line.
type continued struct {
	model   *runtime.Model
	path    string
	special bool
}

func (c continued) encode(turns []turn) (ids []int32, err error) {
	if len(turns) == 0 || turns[0].is(assistantRole) {
		if ids, err = beginning(c.model, c.path); err != nil {
			return nil, err
		}
	}
	for i, t := range turns {
		more, text := t.ids, t.text()
		if i > 0 && t.is(userRole) {
			text = "\n" + text
		}
		if more == nil {
			if more, err = encode(c.model.Tokenizer(), text, c.special); err != nil {
				return nil, err
			}
			if len(ids) == 0 { // the text begins
				more = c.model.Tokenizer().WithPrefix(more)
			}
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

func (c continued) shorten(ids []int32, most int) ([]int32, error) {
	prefix := c.model.Tokenizer().WithPrefix(nil)
	return slices.Concat(prefix, ids[len(ids)-max(1, most-len(prefix)):]), nil
}

var errContent = errors.New("its content is no text")

// plainTurns checks that messages are such as a text that is continued consists of.
func plainTurns(turns []turn) error {
	for i, t := range turns {
		if value, _ := t.Get("content"); !t.is(userRole) && !t.is(assistantRole) {
			return fmt.Errorf("message %d: plain text has the roles %s and %s alone", i, userRole, assistantRole)
		} else if _, ok := value.(string); !ok {
			return fmt.Errorf("message %d: %w", i, errContent)
		}
	}
	return nil
}

// beginningOf returns the first words of a text, for a note.
func beginningOf(text string) string {
	const most = 40
	words := []rune(printable(strings.Join(strings.Fields(text), " ")))
	if len(words) > most {
		return string(words[:most]) + "…"
	}
	return string(words)
}
