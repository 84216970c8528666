package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime/chat"
)

// saved is the object of /save. /load takes a list of messages alone too.
type saved struct {
	Messages []chat.Message             `json:"messages"`
	Settings map[string]json.RawMessage `json:"settings,omitempty"` // numbers by the names that /set takes
}

// parseSaved reads a file of /save, or a list of messages.
func parseSaved(text []byte) (saved, error) {
	var s saved
	var err error
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '[' {
		err = json.Unmarshal(text, &s.Messages)
	} else {
		err = json.Unmarshal(text, &s)
	}
	if err == nil && s.Messages == nil {
		err = errors.New("there are no messages in it")
	}
	if err != nil {
		return s, fmt.Errorf("want a JSON list of messages, or what /save writes: %w", plainJSON(err))
	}
	return s, nil
}

// plainJSON says what is wrong with a JSON text in words that are not about Go.
func plainJSON(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("no JSON from byte %d on", syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("%s is a %s", kind.Field, kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("it is a %s", kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	}
	return err
}

func (c *conversation) save(_ context.Context, path string) error {
	if path == "" {
		fmt.Fprintln(c.notes, "Want a file: /save FILE")
		return nil
	}
	if err := c.saveTo(path); err != nil {
		fmt.Fprintf(c.notes, "%s\n", oneLine(err))
		return nil
	}
	fmt.Fprintf(c.notes, "Saved %s and the settings to %s.\n", counted(len(c.turns), "message"), printable(path))
	return nil
}

// saveTo writes the conversation. It replaces no file but an earlier conversation.
func (c *conversation) saveTo(path string) error {
	if old, err := readSaved(path); err == nil {
		if _, err := parseSaved(old); err != nil {
			return fmt.Errorf("%s is there already, and is no saved conversation; it stays as it is", path)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s := saved{Messages: []chat.Message{}, Settings: map[string]json.RawMessage{}}
	for _, t := range c.turns {
		s.Messages = append(s.Messages, t.Message)
	}
	for _, f := range c.settings() {
		if _, limited := c.flags.limit(c.template != nil); f.Name != "tokens" || limited {
			s.Settings[f.Name] = json.RawMessage(f.Value.String())
		}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	err = format.Replace(path, true, func(file *os.File) error {
		_, err := file.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}

// readSaved returns what a file has. A device may have no end.
func readSaved(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, fmt.Errorf("%s is a device, want a file", path)
	}
	return os.ReadFile(path)
}

func (c *conversation) load(_ context.Context, path string) error {
	if path == "" {
		fmt.Fprintln(c.notes, "Want a file: /load FILE")
		return nil
	}
	if err := c.loadFrom(path); err != nil {
		fmt.Fprintf(c.notes, "%s\n", oneLine(err))
		return nil
	}
	fmt.Fprintf(c.notes, "Loaded %s from %s.\n", counted(len(c.turns), "message"), printable(path))
	if latest, found := c.last(assistantRole); found {
		fmt.Fprintf(c.notes, "The last answer: %s\n", beginningOf(latest.text()))
	}
	return nil
}

// loadFrom replaces the conversation by that of a file, or changes nothing.
func (c *conversation) loadFrom(path string) error {
	text, err := readSaved(path)
	if err != nil {
		return err
	}
	s, err := parseSaved(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	turns := make([]turn, len(s.Messages))
	for i, message := range s.Messages {
		turns[i] = turn{Message: message}
	}
	if c.template == nil {
		err = plainTurns(turns)
	} else if len(turns) > 0 {
		_, err = c.reader().encode(turns)
	}
	if err == nil {
		err = c.setAll(s.Settings)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	c.dialogue, c.open = dialogue{turns: turns}, false
	return nil
}

// setAll changes settings, all or none.
func (c *conversation) setAll(settings map[string]json.RawMessage) error {
	type former struct {
		value   string
		changed bool
	}
	before := map[string]former{}
	for _, f := range c.settings() {
		before[f.Name] = former{f.Value.String(), f.Changed}
	}
	for name, value := range settings {
		err := errors.New("there is no such setting")
		f := c.setting(name)
		if f != nil {
			err = f.Value.Set(string(value))
		}
		if err != nil {
			for name, old := range before {
				restored := c.setting(name)
				restored.Value.Set(old.value) // it was taken before
				restored.Changed = old.changed
			}
			return fmt.Errorf("setting %s: %w", name, err)
		}
		f.Changed = true
	}
	return nil
}
