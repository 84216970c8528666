// Command recording writes recording.svg: a session in a real terminal, in which a person converts a model and talks to it,
// as a picture that moves by CSS alone. It runs the commands, and shows what they print when they print it.
//
// It is a module of its own, so that nobody who uses tti needs a terminal emulator.
//
//	recording -program DIR -folder DIR -o FILE.svg
//
// DIR of -program holds tti, that of -folder is where the commands run. Start reading at script.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// step is a line that the person types, after the prompt that they wait for.
type step struct {
	prompt, line string
	read         time.Duration // how long they look at what there is before they type
}

const (
	shell = "$ "
	chat  = "> "
)

// script is the session. Seed and temperature make it one that can be had again.
var script = []step{
	{shell, "tti convert testdata/fable-llama --mode int4", 800 * time.Millisecond},
	{shell, "tti run fable-llama-int4.tti --temp 0.6 --seed 15", 1200 * time.Millisecond},
	{chat, "Tell me a story about a king and his three sons.", 800 * time.Millisecond},
	{chat, "Tell me about a bird.", 5 * time.Second},
}

const (
	columns, rows = 88, 19
	keystroke     = 45 * time.Millisecond
	patience      = 30 * time.Second // for a prompt
	ending        = 5 * time.Second  // how long the last answer stays
)

func main() {
	program := flag.String("program", "bin", "the `DIR` that holds tti")
	folder := flag.String("folder", ".", "the `DIR` where commands run")
	output := flag.String("o", "recording.svg", "the `FILE` to write")
	flag.Parse()
	if err := run(*program, *folder, *output); err != nil {
		fmt.Fprintln(os.Stderr, "recording:", err)
		os.Exit(1)
	}
}

func run(program, folder, output string) error {
	frames, err := record(program, folder)
	if err != nil {
		return err
	}
	title := "A terminal: tti converts a model, and answers questions in the conversation that follows"
	return os.WriteFile(output, []byte(svg(frames, title, columns, rows)), 0o666)
}

// record runs the script in a shell, and returns what the screen showed.
func record(program, folder string) ([]frame, error) {
	command := exec.Command("sh", "-i")
	command.Dir = folder
	command.Env = []string{"PATH=" + program + ":" + os.Getenv("PATH"), "HOME=" + folder, "TERM=xterm-256color", "LANG=C.UTF-8", "PS1=" + shell, "ENV="}
	terminal, err := pty.StartWithSize(command, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		return nil, err
	}
	defer terminal.Close()
	defer command.Wait()
	defer command.Process.Signal(syscall.SIGHUP) // as when a window closes, to all that runs in it
	s := newScreen(terminal)
	for _, step := range script {
		if err := s.await(step.prompt); err != nil {
			return nil, err
		}
		time.Sleep(step.read)
		for _, key := range strings.Split(step.line+"\r", "") {
			time.Sleep(keystroke)
			if _, err := terminal.WriteString(key); err != nil {
				return nil, err
			}
		}
	}
	if err := s.await(chat); err != nil {
		return nil, err
	}
	frames := s.recorded(ending)
	_, err = terminal.WriteString("\x04\x04") // the conversation ends, and the shell
	return frames, err
}
