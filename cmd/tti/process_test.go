//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// program returns the path of the program, built once.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(draftInt8), "tti")
	text, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	os.Stderr.Write(text)
	return path, err
})

// command returns a process of the program that has not been started. Its kernels are the slow
// ones, so that there is time to interrupt it.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "TTI_KERNELS=go")
	if os.Getenv("TERM") != "dumb" {
		cmd.Env = append(cmd.Env, "TERM=xterm")
	}
	return cmd
}

var longAnswer = []string{"--temp", "0", "--threads", "1", "-n", "500", "--ignore-eos"}

// textProcess is a run of the program that has begun its text.
type textProcess struct {
	*exec.Cmd
	first  []byte // of its standard output
	rest   io.ReadCloser
	stderr bytes.Buffer
}

// writing starts the program and returns when the first byte of its text has come.
func writing(t *testing.T, args ...string) *textProcess {
	t.Helper()
	p := &textProcess{Cmd: command(t, args...), first: make([]byte, 1)}
	p.Stderr = &p.stderr
	var err error
	if p.rest, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.rest, p.first); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestInterruptedRunKeepsItsText(t *testing.T) {
	args := append([]string{"run", draftInt8, "--prompt", "The wolf"}, longAnswer...)
	whole := succeeds(t, "", args...)
	for i, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, os.Interrupt} {
		if i == 2 {
			args = append(args, "--draft", draftF32, "--draft-len", "2")
		}
		run := writing(t, args...)
		run.Process.Signal(signal)
		rest, err := io.ReadAll(run.rest)
		if err != nil {
			t.Fatal(err)
		}
		run.Wait()
		if code := run.ProcessState.ExitCode(); code != 130 || run.stderr.String() != "tti: interrupted\n" {
			t.Errorf("%v: exit code %d, standard error %q", signal, code, run.stderr.String())
		}
		if got := string(run.first) + string(rest); len(got) == len(whole) || !strings.HasPrefix(whole, got) {
			t.Errorf("%v: text %q, want the beginning of %q", signal, got, whole)
		}
	}
}

// TestClosedPipeEndsQuietly closes standard output after the first byte, as head does.
func TestClosedPipeEndsQuietly(t *testing.T) {
	run := writing(t, append([]string{"run", draftInt8, "--prompt", "The wolf"}, longAnswer...)...)
	run.rest.Close()
	if err := run.Wait(); err == nil || run.stderr.Len() > 0 {
		t.Errorf("it ends with %v and standard error %q", err, run.stderr.String())
	}
}
