package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/lineedit"
)

// lineReader reads what a user types. It returns io.EOF at the end and lineedit.ErrAborted for a text given up.
type lineReader interface {
	Prompt(prompt string) (string, error)
	AppendHistory(text string)
	Close() error
}

// newLineReader returns one with line editing where both streams are the process's terminal. It keeps a history of what was typed, if
// wanted, and completes the beginnings of lines.
func newLineReader(cmd *cobra.Command, history bool, complete func(line string) []string) lineReader {
	if cmd.InOrStdin() == io.Reader(os.Stdin) && cmd.OutOrStdout() == io.Writer(os.Stdout) && isTerminal(os.Stdout) {
		if editor, err := lineedit.New(os.Stdin, os.Stdout); err == nil {
			editor.Complete = complete
			return newEditedLines(editor, history)
		}
	}
	return &plainLines{bufio.NewReader(cmd.InOrStdin()), cmd.ErrOrStderr()}
}

// editedLines keeps its history from one run to the next, in the user's cache directory if there is one.
type editedLines struct {
	*lineedit.Editor
	history string // file name, empty for none
}

const (
	historyTexts = 1000     // that are kept
	historyBytes = 4000     // of one that is kept; a longer one is a paste
	lineEnd      = "\u2028" // stands for one in the file, which has a text in a line
)

func newEditedLines(editor *lineedit.Editor, history bool) *editedLines {
	e := &editedLines{Editor: editor}
	if cache, err := os.UserCacheDir(); err == nil && history {
		e.history = filepath.Join(cache, "tti", "history")
	}
	text, _ := os.ReadFile(e.history) // there may be none yet
	for line := range strings.Lines(string(text)) {
		e.AppendHistory(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), lineEnd, "\n"))
	}
	return e
}

// AppendHistory keeps a text for the arrow keys.
func (e *editedLines) AppendHistory(text string) {
	if n := len(e.History); n == 0 || e.History[n-1] != text {
		e.History = append(e.History, text)
	}
}

// Close gives the terminal back. A history that cannot be kept is no reason to bother the user.
func (e *editedLines) Close() error {
	if e.history != "" && os.MkdirAll(filepath.Dir(e.history), 0o755) == nil {
		var kept strings.Builder
		for _, text := range e.History[max(0, len(e.History)-historyTexts):] {
			if len(text) <= historyBytes {
				kept.WriteString(strings.ReplaceAll(text, "\n", lineEnd) + "\n")
			}
		}
		os.WriteFile(e.history, []byte(kept.String()), 0o600)
	}
	return e.Editor.Close()
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

// readEntry reads a text, or the lines between fences, and keeps it in the history.
func readEntry(lines lineReader) (entry, error) {
	text, err := lines.Prompt("> ")
	if err != nil {
		return entry{}, err
	}
	shown, fenced := text, false
	if rest, opened := strings.CutPrefix(text, fence); opened {
		fenced = true
		if text, err = readFenced(lines, rest); err != nil {
			return entry{}, err
		}
		shown = fence + text + fence
	}
	if shown != "" {
		lines.AppendHistory(shown)
	}
	switch {
	case fenced:
		return entry{text: text}, nil
	case strings.HasPrefix(text, escape):
		return entry{text: strings.TrimRight(text[1:], "\n")}, nil
	case strings.HasPrefix(text, "/"):
		return entry{text, true}, nil
	}
	return entry{text: strings.TrimRight(text, "\n")}, nil
}

// readFenced returns the lines up to the closing fence; rest is what follows the opening one in its line.
func readFenced(lines lineReader, rest string) (string, error) {
	var text strings.Builder
	for line := rest; ; {
		if last, closed := strings.CutSuffix(strings.TrimRight(line, " \n"), fence); closed {
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
