package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/spec"
)

// colours are the terminal's, by origin; see ECMA-48, SGR.
var colours = map[spec.Origin]string{spec.FromDraft: "\x1b[32m", spec.FromNGram: "\x1b[36m"}

const noColour = "\x1b[0m"

// coloured returns text as it shows where it came from.
func coloured(text string, origin spec.Origin) string {
	if colour := colours[origin]; colour != "" && text != "" {
		return colour + text + noColour
	}
	return text
}

// legend explains the colours.
func legend() string {
	var names []string
	for _, origin := range []spec.Origin{spec.FromTarget, spec.FromDraft, spec.FromNGram} {
		names = append(names, coloured(string(origin), origin))
	}
	return fmt.Sprintf("tokens from: %s\n", strings.Join(names, ", "))
}

// canColour reports whether a stream shows colours and its user wants them; see no-color.org.
func canColour(stream any) bool {
	return isTerminal(stream) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// shown writes a model's text to standard output as it comes: on a terminal harmless, in lines that end with words, and coloured if wanted.
type shown struct {
	flags    *runFlags
	out      io.Writer
	terminal bool
	lines    *wrapper // nil where the text stays as it is
	last     byte     // written
}

func (f *runFlags) newShown(out io.Writer) *shown {
	s := &shown{flags: f, out: out, terminal: isTerminal(out)}
	if s.terminal && f.escapes.value != keepEscapes {
		s.lines = &wrapper{out: out, width: terminalWidth(out)}
	}
	return s
}

func (s *shown) write(token spec.Token) error {
	if token.Text == "" {
		return nil
	}
	s.last = token.Text[len(token.Text)-1]
	text := s.flags.escapes.text(token.Text, s.out)
	colour := func(text string) string { return text }
	if s.flags.highlight && canColour(s.out) {
		colour = func(text string) string { return coloured(text, token.Origin) }
	}
	if s.lines == nil {
		return write(s.out, colour(text))
	}
	return s.lines.write(text, colour)
}

// end writes what has been held back.
func (s *shown) end() error {
	if s.lines == nil {
		return nil
	}
	return s.lines.end()
}

// endLine ends the text, and its last line if it has not ended.
func (s *shown) endLine() error {
	if err := s.end(); err != nil || s.last == '\n' {
		return err
	}
	return write(s.out, "\n")
}

// explain tells what the colours mean, where there are any.
func (f *runFlags) explain(cmd *cobra.Command) {
	if f.highlight && canColour(cmd.OutOrStdout()) && canColour(cmd.ErrOrStderr()) {
		io.WriteString(cmd.ErrOrStderr(), legend())
	}
}
