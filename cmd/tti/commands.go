package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// errQuit ends a conversation.
var errQuit = errors.New("quit")

// chatCommand is what a line that begins with a slash asks for.
type chatCommand struct {
	name, argument, help string
	run                  func(c *conversation, ctx context.Context, argument string) error
}

// chatCommands are those of every conversation, in the order of /help. It is a function because /help itself is one of them.
func chatCommands() []chatCommand {
	return []chatCommand{
		{"/retry", "", "answer the last message again, with another seed", (*conversation).retry},
		{"/undo", "", "take back the last message and its answer", (*conversation).undo},
		{"/system", "TEXT", "set the system prompt; - takes it away, no TEXT shows it", (*conversation).systemPrompt},
		{"/set", "NAME VALUE", "change a setting, as temp 0.7; alone it shows all", (*conversation).change},
		{"/save", "FILE", "write messages and settings to a file", (*conversation).save},
		{"/load", "FILE", "go on with what a file has", (*conversation).load},
		{"/reset", "", "forget what has been said; the system prompt stays", (*conversation).forgetAll},
		{"/help", "", "show this", (*conversation).help},
		{"/quit", "", "leave, as Ctrl-D does", func(*conversation, context.Context, string) error { return errQuit }},
	}
}

// command carries out a line. What the user can mend is a note and no error.
func (c *conversation) command(ctx context.Context, line string) error {
	name, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
	all := chatCommands()
	i := slices.IndexFunc(all, func(known chatCommand) bool { return known.name == name })
	if i < 0 {
		fmt.Fprintf(c.notes, "There is no %s; /help lists what there is. A text that begins with a slash begins with two.\n", printable(name))
		return nil
	}
	argument = strings.TrimSpace(argument)
	if argument != "" && all[i].argument == "" {
		fmt.Fprintf(c.notes, "%s takes nothing behind it.\n", name)
		return nil
	}
	return all[i].run(c, ctx, argument)
}

const (
	chatIntroduction = "Type a message, and the model answers it."
	textIntroduction = `Type the beginning of a text, and the model continues it. What you type next
follows that text in a new line. An empty line lets the model go on.`
	keysHelp = `A text of several lines is pasted, or begins and ends with """; Alt-Enter
begins a new line of it. A text that begins with a slash begins with two.
Ctrl-C ends an answer. The arrow keys bring back texts typed before, also
those of another day.
`
)

func (c *conversation) help(context.Context, string) error {
	introduction := textIntroduction
	if c.template != nil {
		introduction = chatIntroduction
	}
	fmt.Fprintln(c.notes, introduction)
	for _, known := range chatCommands() {
		fmt.Fprintf(c.notes, "  %-17s %s\n", strings.TrimSpace(known.name+" "+known.argument), known.help)
	}
	fmt.Fprint(c.notes, keysHelp)
	return nil
}

func (c *conversation) retry(ctx context.Context, _ string) error {
	latest, found := c.lastFrom(assistantRole)
	if asked, ok := c.lastFrom(userRole); !found || ok && asked > latest {
		fmt.Fprintln(c.notes, "There is no answer yet.")
		return nil
	}
	if c.flags.draw.temperature.value == 0 {
		fmt.Fprintln(c.notes, "At temperature 0 the answer would be the same; /set temp 0.8 changes that.")
		return nil
	}
	old := slices.Clone(c.turns[latest:])
	c.cut(latest)
	c.flags.draw.seed++
	answered, err := c.reply(ctx)
	if !answered {
		c.turns = append(c.turns, old...)
	}
	return err
}

func (c *conversation) undo(context.Context, string) error {
	n, found := c.lastFrom(userRole)
	if !found {
		fmt.Fprintln(c.notes, "There is no message to take back.")
		return nil
	}
	text := c.turns[n].text()
	c.cut(n)
	c.open = false
	fmt.Fprintf(c.notes, "Took back %q and its answer.\n", beginningOf(text))
	return nil
}

func (c *conversation) systemPrompt(_ context.Context, text string) error {
	switch {
	case c.template == nil:
		fmt.Fprintln(c.notes, "Only a chat has a system prompt; here the model continues plain text.")
		return nil
	case text == "" && c.system() == 0:
		fmt.Fprintln(c.notes, "There is no system prompt; /system TEXT sets one.")
		return nil
	case text == "":
		fmt.Fprintf(c.notes, "The system prompt: %s\n", visible(c.turns[0].text()))
		return nil
	case text == "-":
		text = ""
	}
	if err := c.instruct(text); err != nil {
		fmt.Fprintf(c.notes, "%s\n", oneLine(err))
		return nil
	}
	if text == "" {
		fmt.Fprintln(c.notes, "There is no system prompt any more.")
	} else {
		fmt.Fprintln(c.notes, "The system prompt is set.")
	}
	return nil
}

func (c *conversation) forgetAll(context.Context, string) error {
	n := c.reset()
	c.open = false
	kept := ""
	if c.system() > 0 {
		kept = "; the system prompt stays"
	}
	fmt.Fprintf(c.notes, "Forgot %s%s.\n", counted(n, "message"), kept)
	return nil
}

// counted returns a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// settings returns the flags that /set changes.
func (c *conversation) settings() []*pflag.Flag {
	var all []*pflag.Flag
	c.flags.draw.set.VisitAll(func(f *pflag.Flag) { all = append(all, f) })
	return append(all, c.flags.set.Lookup("tokens"))
}

// setting returns the flag of a name, or of its letter, nil if there is none.
func (c *conversation) setting(name string) *pflag.Flag {
	all := c.settings()
	i := slices.IndexFunc(all, func(f *pflag.Flag) bool { return f.Name == name || f.Shorthand == name })
	if i < 0 {
		return nil
	}
	return all[i]
}

// shownSetting returns the value of a setting.
func (c *conversation) shownSetting(f *pflag.Flag) string {
	if _, limited := c.flags.limit(c.template != nil); f.Name == "tokens" && !limited {
		return "as many as the model wants"
	}
	return f.Value.String()
}

func (c *conversation) change(_ context.Context, argument string) error {
	if argument == "" {
		for _, f := range c.settings() {
			fmt.Fprintf(c.notes, "  %-15s %s\n", f.Name, c.shownSetting(f))
		}
		return nil
	}
	name, value, _ := strings.Cut(argument, " ")
	f := c.setting(name)
	if f == nil {
		fmt.Fprintf(c.notes, "There is no setting %s; /set alone shows all.\n", printable(name))
		return nil
	}
	if err := f.Value.Set(strings.TrimSpace(value)); err != nil {
		fmt.Fprintf(c.notes, "%s %s: %s.\n", f.Name, printable(value), err)
		return nil
	}
	f.Changed = true
	note := ""
	if c.flags.draw.temperature.value == 0 && slices.Contains(drawingSettings, f.Name) {
		note = ", which has no effect at temperature 0"
	}
	fmt.Fprintf(c.notes, "%s is %s%s.\n", f.Name, c.shownSetting(f), note)
	return nil
}

// complete offers commands, the names of settings, and files.
func (c *conversation) complete(line string) (found []string) {
	name, argument, behind := strings.Cut(line, " ")
	switch {
	case !strings.HasPrefix(line, "/"):
	case !behind:
		for _, known := range chatCommands() {
			if strings.HasPrefix(known.name, line) {
				name := known.name
				if known.argument != "" {
					name += " "
				}
				found = append(found, name)
			}
		}
	case name == "/set":
		for _, f := range c.settings() {
			if strings.HasPrefix(f.Name, argument) {
				found = append(found, name+" "+f.Name+" ")
			}
		}
	case name == "/load" || name == "/save":
		paths, _ := filepath.Glob(argument + "*") // what is no pattern matches nothing
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				path += string(filepath.Separator)
			}
			found = append(found, name+" "+path)
		}
	}
	return found
}
