package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is a terminal with the program in it.
type screen struct {
	t      *testing.T
	master *os.File
	mutex  sync.Mutex
	shown  strings.Builder
	left   chan struct{} // closed when the program has left
}

// newScreen runs the program in a pseudo-terminal of 24 lines of 80 columns; see pts(4).
func newScreen(t *testing.T, args ...string) (*screen, *os.Process) {
	t.Helper()
	return newWindow(t, 80, args...)
}

// newWindow runs the program in a pseudo-terminal of so many columns.
func newWindow(t *testing.T, columns uint16, args ...string) (*screen, *os.Process) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = resize(master, columns)
	}
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	cmd := command(t, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	s := &screen{t: t, master: master, left: make(chan struct{})}
	go s.watch()
	return s, cmd.Process
}

func resize(master *os.File, columns uint16) error {
	return unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
}

func (s *screen) watch() {
	defer close(s.left)
	buffer := make([]byte, 4096)
	for {
		n, err := s.master.Read(buffer)
		s.mutex.Lock()
		s.shown.Write(buffer[:n])
		s.mutex.Unlock()
		if err != nil {
			return
		}
	}
}

// text returns what has been shown since mark.
func (s *screen) text(mark int) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.shown.String()[mark:]
}

// sees waits until the screen has shown the text since mark, and returns a mark behind it.
func (s *screen) sees(text string, mark int) int {
	s.t.Helper()
	var shown string
	for range 6000 {
		shown = s.text(mark)
		if at := strings.Index(shown, text); at >= 0 {
			return mark + at + len(text)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("waited for %q, the terminal shows %q", text, shown)
	return 0
}

func (s *screen) types(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.master, keys); err != nil {
		s.t.Fatal(err)
	}
}

// ownCache gives programs that the test starts an empty cache directory of their own.
func ownCache(t *testing.T) string {
	t.Helper()
	if _, err := program(); err != nil { // built now, with the compiler's usual cache
		t.Fatal(err)
	}
	directory := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", directory)
	return directory
}

const (
	left, up, ctrlC, ctrlD, ctrlZ = "\x1b[D", "\x1b[A", "\x03", "\x04", "\x1a"

	// XTerm Control Sequences, "Bracketed Paste Mode".
	pasteBegin, pasteEnd = "\x1b[200~", "\x1b[201~"
	pasteOn, pasteOff    = "\x1b[?2004h", "\x1b[?2004l"
)

// TestTerminal types at the prompt: it edits a line, interrupts an answer, takes a line from the
// history, gives up a line, and leaves with Ctrl-D.
func TestTerminal(t *testing.T) {
	ownCache(t)
	s, process := newScreen(t, append([]string{"run", draftInt8, "--stats"}, longAnswer...)...)
	mark := s.sees("> ", 0)
	s.types("The olf" + left + left + left + "w")
	mark = s.sees("The wolf", mark)
	s.types("\r")
	mark = s.sees("so much", mark) // of the answer
	s.types(ctrlC)
	mark = s.sees(" new tokens", mark)
	mark = s.sees("> ", mark)
	s.types(up)
	mark = s.sees("The wolf", mark)
	s.types(ctrlC)
	mark = s.sees("Ctrl-D leaves.", mark)
	s.sees("> ", mark)
	s.types(ctrlD)
	state, err := process.Wait()
	if err != nil || state.ExitCode() != 0 {
		t.Errorf("it ends with %v (%v)", state, err)
	}
	if strings.Contains(s.text(0), "500 new tokens") {
		t.Error("the interrupt did not end the answer")
	}
}

// TestTerminalRemembers has a second run bring back what was typed in the first, from a file that is
// nobody else's to read.
func TestTerminalRemembers(t *testing.T) {
	cache := ownCache(t)
	for _, keys := range []string{"The wolf\r", up} {
		s, process := newScreen(t, "run", draftInt8, "-n", "1")
		mark := s.sees("> ", 0)
		s.types(keys)
		mark = s.sees("The wolf", mark)
		if keys == up {
			s.types(ctrlC)
		}
		s.sees("> ", mark)
		s.types(ctrlD)
		if state, err := process.Wait(); err != nil || state.ExitCode() != 0 {
			t.Errorf("it ends with %v (%v)", state, err)
		}
	}
	if info, err := os.Stat(filepath.Join(cache, "tti", "history")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the history is %v (%v)", info, err)
	}
}

// TestTerminalNoHistory: with --no-history nothing is kept.
func TestTerminalNoHistory(t *testing.T) {
	cache := ownCache(t)
	s, process := newScreen(t, "run", draftInt8, "-n", "1", "--no-history")
	mark := s.sees("> ", 0)
	s.types("The wolf\r")
	s.sees("> ", s.sees("The wolf", mark))
	s.types(ctrlD)
	s.all(process, 0)
	if _, err := os.Stat(filepath.Join(cache, "tti", "history")); !os.IsNotExist(err) {
		t.Errorf("there is a history (%v)", err)
	}
}

// newChatScreen runs a chat in a terminal of so many columns and waits for its prompt.
func newChatScreen(t *testing.T, columns uint16, args ...string) (s *screen, process *os.Process, mark int) {
	t.Helper()
	path := chatModel(t)
	ownCache(t)
	s, process = newWindow(t, columns, append([]string{"run", path, "--temp", "0", "--threads", "1"}, args...)...)
	mark = s.sees("chat.", 0)
	return s, process, s.sees("> ", mark)
}

// savedMessages has the chat save its messages, and returns the file and them.
func (s *screen) savedMessages(mark int) (path string, messages []struct{ Role, Content string }) {
	s.t.Helper()
	path = filepath.Join(s.t.TempDir(), "chat.json")
	s.types("/save " + path + "\r")
	s.sees("Saved ", mark)
	var saved struct {
		Messages []struct{ Role, Content string }
	}
	if err := json.Unmarshal(readFile(s.t, path), &saved); err != nil {
		s.t.Fatal(err)
	}
	return path, saved.Messages
}

// TestTerminalPaste pastes three lines, one of which looks like the key that leaves, and edits what is shown of them: they are one message.
func TestTerminalPaste(t *testing.T) {
	s, process, mark := newChatScreen(t, 80, "-n", "3")
	if !strings.Contains(s.text(0), pasteOn) {
		t.Error("the terminal was not asked to mark pastes")
	}
	s.types(pasteBegin + "one\rtwo \x04\x03\n\tthree\r" + pasteEnd)
	mark = s.sees("one\r\ntwo \r\n        three\r\n", mark)
	s.types("\x7f?\r") // the last line end goes
	mark = s.sees("> ", s.sees("Cut after 3 tokens", mark))
	s.types(up)
	mark = s.sees("three?", mark)
	s.types(ctrlC)
	mark = s.sees("> ", s.sees("Ctrl-D leaves.", mark))
	if _, messages := s.savedMessages(mark); len(messages) != 2 || messages[0].Content != "one\ntwo \n\tthree?" {
		t.Errorf("messages %q", messages)
	}
	s.types(ctrlD)
	if text := s.all(process, 0); strings.LastIndex(text, pasteOff) < strings.LastIndex(text, pasteOn) {
		t.Error("the terminal marks pastes for ever")
	}
}

// TestTerminalLongPaste pastes more lines than the window has: some of them are shown, and all are the message.
func TestTerminalLongPaste(t *testing.T) {
	s, process, mark := newChatScreen(t, 80, "-n", "3")
	text := "first" + strings.Repeat("\rx", 60)
	s.types(pasteBegin + text + pasteEnd)
	mark = s.sees("[50 rows above]\r\nx", mark)
	s.types(up + "y\r")
	mark = s.sees("> ", s.sees("Cut after 3 tokens", mark))
	if shown := s.text(0); strings.Count(shown, "\nx") > 100 {
		t.Errorf("the terminal shows %q", shown)
	}
	want := strings.ReplaceAll(text[:len(text)-2], "\r", "\n") + "y\nx"
	if _, messages := s.savedMessages(mark); len(messages) != 2 || messages[0].Content != want {
		t.Errorf("messages %q, want %q", messages, want)
	}
	s.types(ctrlD)
	s.all(process, 0)
}

// TestTerminalResize makes the window narrower and wider within a line: the rows that the terminal has made of it are taken away first.
func TestTerminalResize(t *testing.T) {
	s, process, mark := newChatScreen(t, 80)
	text := strings.Repeat("0123456789", 10) // with the prompt 102 columns
	s.types(text)
	mark = s.sees("> "+text+"\r\x1b[22C", mark)
	for _, window := range []struct{ columns, above, column int }{{30, 3, 12}, {51, 2, 0}, {110, 0, 102}} {
		if err := resize(s.master, uint16(window.columns)); err != nil {
			t.Fatal(err)
		}
		up, right, edge := "", "", ""
		if window.above > 0 {
			up = fmt.Sprintf("\x1b[%dA", window.above)
		}
		if window.column > 0 {
			right = fmt.Sprintf("\x1b[%dC", window.column)
		} else {
			edge = " \r" // for the terminal to go on in the next row
		}
		mark = s.sees(up+"\r\x1b[J> "+text+edge+"\r"+right, mark)
	}
	s.types(ctrlC)
	s.sees("> ", s.sees("^C", mark))
	s.types(ctrlD)
	s.all(process, 0)
}

// TestTerminalStops: Ctrl-Z gives the terminal back, and what was typed goes on. The process stops only where a shell waits for it, which none does here.
func TestTerminalStops(t *testing.T) {
	s, process, mark := newChatScreen(t, 80, "-n", "3")
	s.types("Who are" + ctrlZ + " you?\r")
	mark = s.sees(pasteOn, s.sees(pasteOff, s.sees("^Z", mark)))
	mark = s.sees("> ", s.sees("Cut after 3 tokens", mark))
	if _, messages := s.savedMessages(mark); len(messages) != 2 || messages[0].Content != "Who are you?" {
		t.Errorf("messages %q", messages)
	}
	s.types(ctrlD)
	s.all(process, 0)
}

// TestTerminalDumb: a terminal that understands nothing edits lines itself, and is sent nothing but text.
func TestTerminalDumb(t *testing.T) {
	t.Setenv("TERM", "dumb")
	s, process, mark := newChatScreen(t, 80, "-n", "3")
	s.types("Who are you?\n")
	s.sees("> ", s.sees("Cut after 3 tokens", mark))
	s.types("/undo\n")
	s.sees("Took back \"Who are you?\"", mark)
	s.types(ctrlD)
	if text := s.all(process, 0); strings.Contains(text, "\x1b") {
		t.Errorf("the terminal shows %q", text)
	}
}

// TestTerminalCommands undoes, retries, saves and loads, writes a text of several lines, and completes a command.
func TestTerminalCommands(t *testing.T) {
	s, process, mark := newChatScreen(t, 80, "-n", "4")
	s.types("\"\"\"Who\r")
	mark = s.sees("... ", mark)
	s.types("are you?\"\"\"\r")
	mark = s.sees("> ", s.sees("Cut after 4 tokens", mark))
	s.types("/set temp 1\r")
	mark = s.sees("> ", s.sees("temp is 1.", mark))
	s.types("/ret\t\r")
	mark = s.sees("> ", s.sees("Cut after 4 tokens", s.sees("/retry", mark)))
	file, messages := s.savedMessages(mark)
	if len(messages) != 2 || messages[0].Content != "Who\nare you?" {
		t.Errorf("messages %q", messages)
	}
	mark = s.sees("> ", s.sees("Saved ", mark))
	s.types("/undo\r")
	mark = s.sees("> ", s.sees("Took back \"Who are you?\" and its answer.", mark))
	s.types("/load " + file + "\r")
	mark = s.sees("> ", s.sees("Loaded 2 messages from ", mark))
	s.types("/undo\r")
	mark = s.sees("> ", s.sees("Took back", mark))
	s.types("/re\t\t")
	mark = s.sees("/reset", s.sees("/retry", mark))
	s.types("set\r")
	s.sees("Forgot 0 messages.", mark)
	s.types(ctrlD)
	s.all(process, 0)
}

// TestTerminalWraps: no line of an answer is cut within a word, in a window of 30 columns and in the same window made wider.
func TestTerminalWraps(t *testing.T) {
	s, process, mark := newChatScreen(t, 30, "-n", "30", "--seed", "1", "--temp", "0.8")
	answer := func(columns int) {
		t.Helper()
		s.types("Tell me of the wolf.\r")
		begin := s.sees("wolf.\r", mark)
		begin = s.sees("\n", begin)
		mark = s.sees("[Cut", begin)
		lines := strings.Split(strings.ReplaceAll(s.text(begin)[:mark-begin-len("[Cut")], "\r", ""), "\n")
		widest := 0
		for _, line := range lines {
			widest = max(widest, len([]rune(line)))
		}
		if widest > columns || widest < columns-12 {
			t.Errorf("in %d columns the widest line has %d: %q", columns, widest, lines)
		}
		mark = s.sees("> ", mark)
	}
	answer(30)
	if err := resize(s.master, 100); err != nil {
		t.Fatal(err)
	}
	answer(100)
	s.types(ctrlD)
	s.all(process, 0)
}

// TestTerminalNoColour: with NO_COLOR no answer is coloured.
func TestTerminalNoColour(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	s, process, mark := newChatScreen(t, 80, "-n", "20", "--draft", "ngram", "--highlight")
	s.types("Who are you?\r")
	s.sees("[Cut", mark)
	s.types(ctrlD)
	if text := s.all(process, 0); strings.Contains(text, noColour) || strings.Contains(text, colours["n-gram"]) {
		t.Errorf("with NO_COLOR the terminal shows %q", text)
	}
}

// TestTerminalPastTheContext interrupts answers of a chat that outgrows the context.
func TestTerminalPastTheContext(t *testing.T) {
	s, process, mark := newChatScreen(t, 300, "-n", "8", "--ctx", "96", "--ignore-eos", "--stats")
	for range 5 {
		s.types("Tell me of the wolf and the fox.\r")
		mark = s.sees("> ", s.sees("; context ", mark))
	}
	if text := s.text(0); !strings.Contains(text, "messages are not read any more.]") || !strings.Contains(text, " of 96; greedy]") {
		t.Errorf("the terminal shows %q", text)
	}
	s.types(ctrlD)
	s.all(process, 0)
}

// TestTerminalIsGivenBack stops the program, whose terminal then has other modes, lets it go on, and ends it.
func TestTerminalIsGivenBack(t *testing.T) {
	s, process, mark := newChatScreen(t, 80)
	before, err := unix.IoctlGetTermios(int(s.master.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cooked := *before
	cooked.Lflag |= unix.ECHO | unix.ICANON // as a shell sets them while the program is stopped
	process.Signal(syscall.SIGSTOP)
	if err := unix.IoctlSetTermios(int(s.master.Fd()), unix.TCSETS, &cooked); err != nil {
		t.Fatal(err)
	}
	process.Signal(syscall.SIGCONT)
	for range 500 {
		now, err := unix.IoctlGetTermios(int(s.master.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if cooked = *now; cooked.Lflag&(unix.ECHO|unix.ICANON) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if cooked.Lflag&(unix.ECHO|unix.ICANON) != 0 {
		t.Error("after a stop the terminal echoes")
	}
	process.Signal(syscall.SIGTERM)
	s.sees(pasteOff, mark)
	if state, err := process.Wait(); err != nil || state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("it ends with %v (%v)", state, err)
	}
}

// TestTerminalTakesTheBarAway converts on a terminal: the summary must stand where the progress bar
// was.
func TestTerminalTakesTheBarAway(t *testing.T) {
	target := t.TempDir() + "/x.tti"
	s, process := newScreen(t, "convert", draftSource, "-o", target)
	mark := s.sees("converting", 0)
	s.sees(" s\r\n", s.sees("bits per weight", mark))
	if state, err := process.Wait(); err != nil || state.ExitCode() != 0 {
		t.Errorf("it ends with %v (%v)", state, err)
	}
	line := strings.TrimSuffix(s.text(0), "\r\n")
	if line = line[strings.LastIndex(line, "\r")+1:]; !strings.HasPrefix(line, target+": ") {
		t.Errorf("the last line is %q", line)
	}
}

// TestTerminalShowsOrigins has half the text guessed, and coloured but for a user who wants none.
func TestTerminalShowsOrigins(t *testing.T) {
	for _, noColour := range []string{"", "1"} {
		t.Setenv("NO_COLOR", noColour)
		s, process := newScreen(t, "run", draftInt8, "--prompt", "The wolf", "-n", "16", "--temp", "0", "--draft", draftF32, "--draft-len", "3", "--highlight", "--stats")
		s.sees("finished by length", 0)
		if state, err := process.Wait(); err != nil || state.ExitCode() != 0 {
			t.Errorf("it ends with %v (%v)", state, err)
		}
		text := s.text(0)
		if noColour != "" {
			if strings.Contains(text, "\x1b") || strings.Contains(text, "tokens from") {
				t.Errorf("with NO_COLOR the terminal shows %q", text)
			}
			continue
		}
		legend := "tokens from: target, \x1b[32mdraft\x1b[0m, \x1b[36mn-gram\x1b[0m\r\n"
		if !strings.HasPrefix(text, legend) || !strings.Contains(text[len(legend):], "\x1b[32m") {
			t.Errorf("the terminal shows %q", text)
		}
	}
}

// all waits until the program in the terminal has ended, and returns all that it has shown.
func (s *screen) all(process *os.Process, code int) string {
	s.t.Helper()
	if state, err := process.Wait(); err != nil || state.ExitCode() != code {
		s.t.Errorf("it ends with %v (%v), want code %d", state, err, code)
	}
	<-s.left
	return strings.ReplaceAll(s.text(0), "\r\n", "\n") // which is what the terminal makes of a newline
}

// TestTerminalIsNotSteered shows what a hostile file, text and hub can bring to a terminal.
func TestTerminalIsNotSteered(t *testing.T) {
	path := hostileFile(t)
	ids := strings.TrimSpace(succeeds(t, hostileText, "tokenize", draftInt8))
	wild := []string{"run", draftInt8, "--prompt", "The wolf", "-n", "500", "--ignore-eos", "--temp", "1000", "--top-p", "1", "--seed", "3"}
	for name, c := range map[string]struct {
		args []string
		sees string
	}{
		"meta":           {[]string{"inspect", path, "--tensors"}, "mode␛[31m␛]0;title␇␛[2J␡␍␛E␈"},
		"meta as JSON":   {[]string{"inspect", path, "--json"}, `mode\u001b[31m`},
		"text":           {wild, "␟"},
		"text, coloured": {append(wild, "--highlight", "--draft", "ngram"), "␟"},
		"text of ids":    {[]string{"tokenize", draftInt8, "--decode", ids}, "␛[31m␛]0;title␇␛[2J␡␍␛E␈"},
	} {
		t.Run(name, func(t *testing.T) {
			s, process := newScreen(t, c.args...)
			text := s.all(process, 0)
			for _, own := range append(slices.Collect(maps.Values(colours)), noColour) {
				text = strings.ReplaceAll(text, own, "")
			}
			harmless(t, text)
			if !strings.Contains(text, c.sees) {
				t.Errorf("the terminal shows %q, want %q in it", text, c.sees)
			}
		})
	}
	t.Run("kept", func(t *testing.T) {
		s, process := newScreen(t, "tokenize", draftInt8, "--decode", ids, "--escapes", "keep")
		if text := s.all(process, 0); text != hostileText {
			t.Errorf("the terminal shows %q, want %q", text, hostileText)
		}
	})
	t.Run("typed prompt", func(t *testing.T) {
		ownCache(t)
		s, process := newWindow(t, 300, "run", path)
		mark := s.sees(": mode␛[31m␛]0;title␇␛[2J␡␍␛E␈, context of", 0)
		mark = s.sees("> ", mark)
		s.types("/unknown\r")
		s.sees("There is no ", mark)
		s.types(ctrlD)
		if text := s.all(process, 0); strings.ContainsAny(text, "\u009b\x07") || strings.Contains(text, "\x1b[31m") {
			t.Errorf("the terminal shows %q", text)
		}
	})
	t.Run("hub", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				connection.Read(make([]byte, 4096))
				io.WriteString(connection, "HTTP/1.1 400 "+strings.ReplaceAll(hostileText, "\r", "")+"\r\nX-Error-Message: \u009b2J\r\n\r\n")
				connection.Close()
			}
		}()
		t.Setenv("HF_ENDPOINT", "http://"+listener.Addr().String())
		t.Setenv("HF_HOME", t.TempDir())
		t.Setenv("HF_HUB_OFFLINE", "")
		t.Chdir(t.TempDir())
		s, process := newScreen(t, "convert", "some/model")
		text := s.all(process, 1)
		harmless(t, text)
		if !strings.Contains(text, "answers 400 Bad Request (") {
			t.Errorf("the terminal shows %q", text)
		}
	})
}
