// Package lineedit lets a user of a terminal type texts of one line or several: keys as in shells, a history, completion, and pastes that are one
// text. What is shown stays whole when the window changes, and takes at most half of it.
package lineedit

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// ErrAborted is returned for a text that the user gave up by Ctrl-C.
var ErrAborted = errors.New("aborted")

// Editor reads from a terminal. It has the terminal until Close: while no text is read, what is typed is not shown and waits for the next one, and
// Ctrl-C is an interrupt as ever.
type Editor struct {
	// Complete returns what a line may become that begins so, nil for nothing.
	Complete func(beginning string) []string
	// History has the texts that the arrow keys bring back, the latest last.
	History []string

	in, out  *os.File
	terminal *terminal
	sent     chan []byte // by the terminal; closed at its end
	changed  chan change
	decoder  decoder
	waiting  []input

	prompt string
	line   line
	shown  view
	recall recall
}

// change is what happens to a terminal besides keys.
type change int

const (
	resized change = iota // the window has another size
	resumed               // the process was stopped and goes on; others have written to the terminal
)

// settling is how long a window that changes is left alone: tmux has its new width up to 250 ms before it tells.
const settling = 300 * time.Millisecond

// recall is a walk through the history.
type recall struct {
	at    int    // in the history; its length: in what was typed
	typed string // whose beginning all that is brought back shares
}

// New returns an editor for a terminal, or an error if that understands no escape sequences.
func New(in, out *os.File) (*Editor, error) {
	if name := os.Getenv("TERM"); name == "dumb" {
		return nil, errors.New("the terminal is dumb")
	}
	e := &Editor{in: in, out: out, sent: make(chan []byte), changed: make(chan change, 8)}
	var err error
	if e.terminal, err = openTerminal(in, out, e.changed); err != nil {
		return nil, err
	}
	go e.read()
	return e, nil
}

// read passes on what the terminal sends.
func (e *Editor) read() {
	defer close(e.sent)
	for {
		buffer := make([]byte, 4096)
		n, err := e.in.Read(buffer)
		if n > 0 {
			e.sent <- buffer[:n]
		}
		if err != nil {
			return
		}
	}
}

// Close gives the terminal back.
func (e *Editor) Close() error { return e.terminal.close() }

// Prompt returns the text that the user types behind the prompt, io.EOF if they leave, or ErrAborted.
func (e *Editor) Prompt(prompt string) (string, error) {
	if err := e.terminal.edit(); err != nil {
		return "", err
	}
	defer e.terminal.answer()
	e.prompt, e.shown = prompt, view{}
	e.line.set("", 0)
	e.recall = recall{at: len(e.History)}
	e.draw()
	for {
		in, err := e.next()
		if err != nil {
			return "", err
		}
		switch {
		case in.command == accept:
			e.leave("")
			return e.line.text(), nil
		case in.command == abort:
			e.leave("^C")
			return "", ErrAborted
		case in.command == deleteOrLeave && len(e.line.characters) == 0:
			return "", io.EOF
		}
		e.do(in)
		if len(e.waiting) == 0 {
			e.draw()
		}
	}
}

// next waits for a key, and draws the text again where the window demands it.
func (e *Editor) next() (input, error) {
	var settled <-chan time.Time
	for len(e.waiting) == 0 {
		select {
		case sent, open := <-e.sent:
			if !open {
				return input{}, io.EOF
			}
			e.waiting = e.decoder.decode(sent)
		case what := <-e.changed:
			if what == resized {
				settled = time.After(settling)
				continue
			}
			e.shown = view{}
			e.draw()
		case <-settled:
			settled = nil
			e.draw()
		}
	}
	in := e.waiting[0]
	e.waiting = e.waiting[1:]
	return in, nil
}

// do carries out a key that does not end the text.
func (e *Editor) do(in input) {
	switch in.command {
	case up, down:
		e.move(in.command)
	case complete:
		e.completeLine()
	case clearScreen:
		e.shown = view{}
		io.WriteString(e.out, "\x1b[H\x1b[2J")
	case suspend:
		e.leave("^Z")
		e.terminal.suspend()
		e.shown = view{}
	default:
		e.line.do(in)
	}
}

// size returns that of the window, in columns and rows.
func (e *Editor) size() (width, height int) {
	width, height, err := term.GetSize(int(e.out.Fd()))
	if err != nil || width < 2 || height < 1 {
		return 80, 24
	}
	return width, height
}

// draw shows the text as it is now.
func (e *Editor) draw() {
	width, height := e.size()
	prompt := characters(e.prompt)
	var out strings.Builder
	e.shown.erase(&out, width)
	e.shown = newView(append(prompt, e.line.characters...), len(prompt)+e.line.at, width, max(3, height/2))
	e.shown.draw(&out)
	io.WriteString(e.out, out.String())
}

// leave puts the cursor below the text, which ends with a mark.
func (e *Editor) leave(mark string) {
	e.line.at = len(e.line.characters)
	e.draw()
	io.WriteString(e.out, mark+"\r\n")
}

// move goes a row up or down, or through the history where there is none.
func (e *Editor) move(direction command) {
	width, _ := e.size()
	prompt := characters(e.prompt)
	_, places := lay(append(prompt, e.line.characters...), width)
	from, step := places[len(prompt)+e.line.at], 1
	if direction == up {
		step = -1
	}
	nearest := -1
	for i, p := range places[len(prompt):] {
		if p.row == from.row+step && (nearest < 0 || p.column <= from.column) {
			nearest = i
		}
	}
	if nearest >= 0 {
		e.line.at = nearest
		return
	}
	e.remember(step)
}

// remember brings back the next text of the history in a direction that begins with what was typed.
func (e *Editor) remember(step int) {
	if e.recall.at == len(e.History) {
		e.recall.typed = e.line.text()
	}
	for at := e.recall.at + step; at >= 0 && at <= len(e.History); at += step {
		text := e.recall.typed
		if at < len(e.History) {
			text = e.History[at]
		}
		if strings.HasPrefix(text, e.recall.typed) {
			e.recall.at = at
			e.line.set(text, len(text))
			return
		}
	}
}

// completeLine goes on with what all completions of the text before the cursor share, or lists them.
func (e *Editor) completeLine() {
	if e.Complete == nil {
		return
	}
	before := e.line.before()
	found := e.Complete(before)
	if len(found) == 0 {
		return
	}
	shared := found[0]
	for _, other := range found[1:] {
		for !strings.HasPrefix(other, shared) {
			shared = shared[:len(shared)-1]
		}
	}
	shared = strings.ToValidUTF8(shared, "") // without the beginning of a character
	if len(shared) > len(before) {
		behind := strings.Join(e.line.characters[e.line.at:], "")
		e.line.set(shared+behind, len(shared))
		return
	}
	if len(found) > 1 {
		e.list(found)
	}
}

// list shows completions below the text, which goes on below them.
func (e *Editor) list(found []string) {
	const most = 100
	more := ""
	if len(found) > most {
		found, more = found[:most], "  ..."
	}
	at, before := e.line.at, e.line.before()
	typed := before[:strings.LastIndexByte(before, ' ')+1]
	e.leave("")
	e.line.at, e.shown = at, view{}
	width, _ := e.size()
	text := strings.ReplaceAll(strings.Join(found, "  "), typed, "") + more
	rows, _ := lay(characters(plain(text)), width)
	for _, r := range rows {
		io.WriteString(e.out, r.text+"\r\n")
	}
}
