package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/lineedit"
	"github.com/tti-llm/tti/runtime"
)

// script is a user who types given lines; the aborted line is one given up with Ctrl-C.
type script struct {
	lines   []string
	history []string
}

const aborted = "\x03"

func (s *script) Prompt(string) (string, error) {
	if len(s.lines) == 0 {
		return "", io.EOF
	}
	line := s.lines[0]
	s.lines = s.lines[1:]
	if line == aborted {
		return "", lineedit.ErrAborted
	}
	return line, nil
}

func (s *script) AppendHistory(line string) { s.history = append(s.history, line) }
func (s *script) Close() error              { return nil }

// newChat returns a chat with the draft model under the flags of run.
func newChat(t *testing.T, out, notes io.Writer, args ...string) *conversation {
	t.Helper()
	return newChatWith(t, draftInt8, out, notes, args...)
}

// newChatWith returns a chat with a model under the flags of run.
func newChatWith(t *testing.T, path string, out, notes io.Writer, args ...string) *conversation {
	t.Helper()
	flags := newRunFlags()
	cmd := &cobra.Command{}
	flags.add(cmd)
	if err := cmd.ParseFlags(greedily(args)); err != nil {
		t.Fatal(err)
	}
	g, err := flags.open(t.Context(), cmd, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	c := newConversation(g, out, notes)
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	return c
}

// talk returns what a user who types the lines gets to see.
func talk(t *testing.T, flags []string, lines ...string) (out, notes string) {
	t.Helper()
	var text, aside bytes.Buffer
	c := newChat(t, &text, &aside, flags...)
	if err := c.loop(context.Background(), &script{lines: lines}); err != nil {
		t.Fatal(err)
	}
	return text.String(), aside.String()
}

// TestChatKeepsTheText compares two turns with one prompt that holds all that has been said.
func TestChatKeepsTheText(t *testing.T) {
	flags := []string{"-n", "12", "--temp", "0.7", "--seed", "5"}
	first := runJSON(t, "", append(flags, "--prompt", "Once upon a time")...)
	whole := append(append([]int32{}, first.PromptIDs...), first.IDs...)

	c := newChat(t, io.Discard, io.Discard)
	ids, err := c.model.Tokenizer().Encode("\nThe wolf")
	if err != nil {
		t.Fatal(err)
	}
	var second strings.Builder
	sampling := runtime.Sampling{Temperature: 0.7, Seed: 5}
	for token, err := range c.model.Generate(context.Background(), append(whole, ids...), sampling, runtime.MaxTokens(12)) {
		if err != nil {
			t.Fatal(err)
		}
		second.WriteString(token.Text)
	}
	out, notes := talk(t, flags, "Once upon a time", "The wolf")
	if want := first.Text + "\n" + second.String() + "\n"; out != want || notes != "\n" {
		t.Errorf("two turns give %q and %q, want %q", out, notes, want)
	}
}

func TestChatEmptyLineGoesOn(t *testing.T) {
	want := runJSON(t, "", "--prompt", "Once upon a time", "-n", "16").Text
	out, _ := talk(t, []string{"-n", "8"}, "Once upon a time", "")
	if got := strings.ReplaceAll(out, "\n", ""); got != strings.ReplaceAll(want, "\n", "") {
		t.Errorf("in two parts the text is %q, in one %q", out, want)
	}
}

func TestChatCommands(t *testing.T) {
	once, _ := talk(t, []string{"-n", "8"}, "The wolf")
	out, notes := talk(t, []string{"-n", "8"}, "The wolf", "/reset", "/help", aborted, "/nonsense", "The wolf", "/quit", "never typed")
	if out != once+once {
		t.Errorf("the text after /reset is %q, before %q", out, once)
	}
	for _, want := range []string{textIntroduction, "There is no /nonsense", "Ctrl-D leaves"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes lack %q: %q", want, notes)
		}
	}
	if _, notes = talk(t, []string{"-n", "8", "--stats"}, "The wolf"); !strings.Contains(notes, "8 new tokens") {
		t.Errorf("with --stats the notes are %q", notes)
	}
}

func TestChatHistory(t *testing.T) {
	user := &script{lines: []string{"The wolf", "", "/help"}}
	if err := newChat(t, io.Discard, io.Discard, "-n", "1").loop(context.Background(), user); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(user.history, "|"); got != "The wolf|/help" {
		t.Errorf("history is %q", got)
	}
}

// TestPlainTextGoesOnPastTheContext forgets the oldest turns, or the beginning of the only one, and says so in a line.
func TestPlainTextGoesOnPastTheContext(t *testing.T) {
	var notes bytes.Buffer
	c := newChat(t, io.Discard, &notes, "-n", "1000", "--ignore-eos")
	for _, turn := range []struct{ line, note string }{
		{"The wolf", "[The context is full; the next turn makes room.]\n"},
		{"The fox", "[The context is full: the oldest 2 messages are not read any more.]\n[The context is full; the next turn makes room.]\n"},
		{"", "[The context is full: the first 129 tokens of the text are not read any more.]\n[The context is full; the next turn makes room.]\n"},
		{"/reset", "Forgot 4 messages.\n"},
		{strings.Repeat("wolf and ", 400), "[The context is full: the first 419 tokens of the text are not read any more.]\n[The context is full; the next turn makes room.]\n"},
	} {
		notes.Reset()
		if err := c.loop(context.Background(), &script{lines: []string{turn.line}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(notes.String(), "\n"); got != strings.TrimSuffix(turn.note, "\n")+"\n" {
			t.Errorf("%.20q is followed by %q, want %q", turn.line, notes.String(), turn.note)
		}
	}
}

// interrupter sends this process an interrupt with the first text of an answer, and waits for it.
type interrupter struct {
	t    *testing.T
	text []byte
	sent bool
}

func (i *interrupter) Write(text []byte) (int, error) {
	if !i.sent {
		i.sent = true
		arrived := make(chan os.Signal, 1)
		signal.Notify(arrived, os.Interrupt)
		defer signal.Stop(arrived)
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Signal(os.Interrupt)
		}
		if err != nil {
			i.t.Skip("this system has no interrupts to send: ", err)
		}
		<-arrived
	}
	i.text = append(i.text, text...)
	return len(text), nil
}

// TestChatInterruptEndsTheAnswer and leaves the text, from which it goes on.
func TestChatInterruptEndsTheAnswer(t *testing.T) {
	t.Setenv("TTI_KERNELS", "go")
	out := &interrupter{t: t}
	c := newChat(t, out, io.Discard, "--threads", "1", "-n", "400", "--ignore-eos")
	if err := c.loop(context.Background(), &script{lines: []string{"The wolf"}}); err != nil {
		t.Fatal(err)
	}
	if n := len(c.turns[1].ids); n < 1 || n > 300 {
		t.Errorf("%d tokens of text", n)
	}
	c.flags.tokens.value = 8
	if err := c.loop(context.Background(), &script{lines: []string{""}}); err != nil {
		t.Fatal(err)
	}
	want := runJSON(t, "", "--prompt", "The wolf", "--ignore-eos", "-n", "400").Text
	if got := strings.ReplaceAll(string(out.text), "\n", ""); !strings.HasPrefix(strings.ReplaceAll(want, "\n", ""), got) {
		t.Errorf("the text in two parts is %q, in one %q", got, want)
	}
}

func TestPlainLines(t *testing.T) {
	var prompts bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetIn(strings.NewReader("one\r\n\nlast"))
	cmd.SetErr(&prompts)
	lines := newLineReader(cmd, false, nil)
	for _, want := range []string{"one", "", "last"} {
		if line, err := lines.Prompt("> "); line != want || err != nil {
			t.Errorf("read %q (%v), want %q", line, err, want)
		}
	}
	if _, err := lines.Prompt("> "); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if prompts.String() != "> > > > " {
		t.Errorf("prompts are %q", prompts.String())
	}
}
