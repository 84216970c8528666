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

// shown returns what a token looks like on standard output.
func (f *runFlags) shown(token spec.Token, stdout io.Writer) string {
	text := f.escapes.text(token.Text, stdout)
	if f.highlight && canColour(stdout) {
		return coloured(text, token.Origin)
	}
	return text
}

// explain tells what the colours mean, where there are any.
func (f *runFlags) explain(cmd *cobra.Command) {
	if f.highlight && canColour(cmd.OutOrStdout()) && canColour(cmd.ErrOrStderr()) {
		io.WriteString(cmd.ErrOrStderr(), legend())
	}
}
