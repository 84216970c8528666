package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// helpWidth is how wide help is, in characters: terminals have at least 80.
const helpWidth = 80

// narrow breaks the help of a command and its subcommands into lines that fit a terminal.
func narrow(cmd *cobra.Command) {
	cmd.Long = filled(cmd.Long)
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "Flags.FlagUsages |", fmt.Sprintf("Flags.FlagUsagesWrapped %d |", helpWidth)))
	for _, command := range cmd.Commands() {
		narrow(command)
	}
}

// filled breaks the lines of every paragraph anew. Paragraphs with an indented line stay as they are.
func filled(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, paragraph := range paragraphs {
		if strings.HasPrefix(paragraph, "\t") || strings.Contains(paragraph, "\n\t") || strings.Contains(paragraph, "\n ") || strings.HasSuffix(paragraph, "\n") {
			continue
		}
		var lines strings.Builder
		used := 0
		for _, word := range strings.Fields(paragraph) {
			switch length := len([]rune(word)); {
			case used == 0:
				used = length
			case used+1+length > helpWidth:
				lines.WriteByte('\n')
				used = length
			default:
				lines.WriteByte(' ')
				used += 1 + length
			}
			lines.WriteString(word)
		}
		paragraphs[i] = lines.String()
	}
	return strings.Join(paragraphs, "\n\n")
}
