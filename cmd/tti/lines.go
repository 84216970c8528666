package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"
)

// lineReader reads what a user types. It returns io.EOF at the end and liner.ErrPromptAborted for
// a line given up.
type lineReader interface {
	Prompt(prompt string) (string, error)
	AppendHistory(line string)
	Close() error
}

// newLineReader returns one with line editing where both streams are the process's terminal. It keeps a history of what was typed, if
// wanted, and completes the beginnings of lines.
func newLineReader(cmd *cobra.Command, history bool, complete func(line string) []string) lineReader {
	if cmd.InOrStdin() == io.Reader(os.Stdin) && cmd.OutOrStdout() == io.Writer(os.Stdout) && isTerminal(os.Stdout) {
		return newLineEditor(history, complete)
	}
	return &plainLines{bufio.NewReader(cmd.InOrStdin()), cmd.ErrOrStderr()}
}

// lineEditor keeps its history from one run to the next, in the user's cache directory if there is one.
type lineEditor struct {
	*liner.State
	history string // file name, empty for none
	stop    func() // waiting for signals
}

func newLineEditor(history bool, complete func(line string) []string) *lineEditor {
	e := &lineEditor{State: newLiner()}
	e.SetCtrlCAborts(true)
	e.SetMultiLineMode(true)
	e.SetTabCompletionStyle(liner.TabPrints)
	e.SetCompleter(complete)
	e.mark(pasteOn)
	e.stop = guardTerminal(e.restore)
	if cache, err := os.UserCacheDir(); err == nil && history {
		e.history = filepath.Join(cache, "tti", "history")
	}
	if file, err := os.Open(e.history); err == nil {
		e.ReadHistory(file)
		file.Close()
	}
	return e
}

// historyLine is the longest line that is kept, in bytes: liner reads no file with lines of more than 4096.
const historyLine = 4000

// AppendHistory keeps a line for the arrow keys.
func (e *lineEditor) AppendHistory(line string) {
	if len(line) <= historyLine {
		e.State.AppendHistory(line)
	}
}

// Close gives the terminal back. A history that cannot be kept is no reason to bother the user.
func (e *lineEditor) Close() error {
	e.stop()
	if e.history != "" && os.MkdirAll(filepath.Dir(e.history), 0o755) == nil {
		if file, err := os.OpenFile(e.history, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
			e.WriteHistory(file)
			file.Close()
		}
	}
	e.restore()
	return nil
}

// restore sets the terminal to what it was.
func (e *lineEditor) restore() {
	e.mark(pasteOff)
	e.State.Close()
}

// mark switches the terminal's marks around pastes on or off.
func (e *lineEditor) mark(sequence string) {
	if marksPastes && liner.TerminalSupported() {
		io.WriteString(os.Stdout, sequence)
	}
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

const (
	// fence opens and closes a text of several lines.
	fence = `"""`
	// escape begins a text that begins with a slash.
	escape = "//"
)

// entry is what a user has submitted.
type entry struct {
	text    string
	command bool
}

// readEntry reads a line, or the lines between fences. It keeps them in the history as one line.
func readEntry(lines lineReader) (entry, error) {
	line, err := lines.Prompt("> ")
	if err != nil {
		return entry{}, err
	}
	shown, fenced := line, false
	if rest, opened := strings.CutPrefix(line, fence); opened {
		fenced = true
		if line, err = readFenced(lines, rest); err != nil {
			return entry{}, err
		}
		shown = fence + marked.Replace(line) + fence
	}
	if shown != "" {
		lines.AppendHistory(shown)
	}
	text := unmarked.Replace(line)
	switch {
	case fenced:
		return entry{text: text}, nil
	case strings.HasPrefix(line, escape):
		return entry{text: strings.TrimRight(text[1:], "\n")}, nil
	case strings.HasPrefix(line, "/"):
		return entry{text, true}, nil
	}
	return entry{text: strings.TrimRight(text, "\n")}, nil
}

// readFenced returns the lines up to the closing fence; rest is what follows the opening one in its line.
func readFenced(lines lineReader, rest string) (string, error) {
	var text strings.Builder
	for line := rest; ; {
		if last, closed := strings.CutSuffix(strings.TrimRight(line, " "), fence); closed {
			text.WriteString(last)
			return strings.Trim(text.String(), "\n"), nil
		}
		text.WriteString(line + "\n")
		var err error
		if line, err = lines.Prompt("... "); err != nil {
			return "", err
		}
	}
}
