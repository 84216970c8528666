package main

import (
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// top is the folder of README.md.
const top = "../.."

// TestREADMELinks: what the documents link to is there.
func TestREADMELinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	documents := 0
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		documents++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			target, err := url.Parse(found[1])
			if err != nil || target.Scheme != "" || target.Path == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), filepath.FromSlash(target.Path))); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents < 10 {
		t.Errorf("%d documents", documents)
	}
}

// TestREADMECommands: README.md fits its bounds, and the commands in it are there, with their flags and as many arguments.
// Whether they do what it says, the commands' own tests show.
func TestREADMECommands(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 160 {
		t.Errorf("%d lines, want 160 at most", lines)
	}
	for _, target := range regexp.MustCompile("`make ([a-z-]+)").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(makefile), "\n"+target[1]+":") {
			t.Errorf("there is no make %s", target[1])
		}
	}
	commands := regexp.MustCompile("(?m)^\\$ tti (.*)$|`tti ([^`]*)`").FindAllStringSubmatch(string(text), -1)
	if len(commands) < 10 {
		t.Errorf("%d commands", len(commands))
	}
	for _, found := range commands {
		line, _, _ := strings.Cut(found[1]+found[2], "#")
		args := words(line)
		if args[0] == "--help" {
			continue
		}
		root := newRoot(strings.NewReader(""), io.Discard, io.Discard)
		root.InitDefaultCompletionCmd(args...)
		command, rest, err := root.Find(args)
		if err == nil && command == root {
			t.Errorf("tti %s: no such command", line)
			continue
		}
		if err == nil {
			err = command.ParseFlags(rest)
		}
		if mentioned := found[2] != "" && len(rest) == 0; err == nil && !mentioned {
			err = command.ValidateArgs(command.Flags().Args())
		}
		if err != nil {
			t.Errorf("tti %s: %v", line, err)
		}
	}
}

// words splits a command as a shell does that knows double quotes only.
func words(line string) (list []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}
