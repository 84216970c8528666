package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelpFitsTerminals reads the help of every command: no line is longer than a terminal is wide.
func TestHelpFitsTerminals(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if path := strings.Fields(cmd.CommandPath())[1:]; !strings.Contains(cmd.CommandPath(), "completion ") { // whose text is the library's
			for line := range strings.Lines(succeeds(t, "", append(path, "--help")...)) {
				if line = strings.TrimRight(line, "\n"); len([]rune(line)) > helpWidth {
					t.Errorf("%s: %q is %d characters long", cmd.CommandPath(), line, len([]rune(line)))
				}
			}
		}
		for _, command := range cmd.Commands() {
			check(command)
		}
	}
	check(newRoot(nil, nil, nil))
}

func TestFilled(t *testing.T) {
	long := strings.Repeat("word ", 17)
	for text, want := range map[string]string{
		"":                             "",
		"one\ntwo\n\nthree":            "one two\n\nthree",
		"as it is:\n\tcode  stays":     "as it is:\n\tcode  stays",
		strings.TrimSpace(long):        strings.TrimSpace(strings.Repeat("word ", 16)) + "\nword",
		strings.Repeat("é", 80) + " x": strings.Repeat("é", 80) + "\nx",
	} {
		if got := filled(text); got != want {
			t.Errorf("%q is filled %q, want %q", text, got, want)
		}
	}
}
