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
	cmd.Env = append(os.Environ(), "TTI_KERNELS=go", "TERM=xterm")
	return cmd
}

var longAnswer = []string{"--threads", "1", "-n", "500", "--ignore-eos"}

func TestInterruptedRunKeepsItsText(t *testing.T) {
	args := append([]string{"run", draftInt8, "--prompt", "The wolf"}, longAnswer...)
	whole := succeeds(t, "", args...)
	for i, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, os.Interrupt} {
		if i == 2 {
			args = append(args, "--draft", draftF32, "--draft-len", "2")
		}
		cmd := command(t, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 1)
		if _, err := io.ReadFull(stdout, text); err != nil {
			t.Fatal(err)
		}
		cmd.Process.Signal(signal)
		rest, err := io.ReadAll(stdout)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 || stderr.String() != "tti: interrupted\n" {
			t.Errorf("%v: exit code %d, standard error %q", signal, code, stderr.String())
		}
		if got := string(text) + string(rest); len(got) == len(whole) || !strings.HasPrefix(whole, got) {
			t.Errorf("%v: text %q, want the beginning of %q", signal, got, whole)
		}
	}
}

// TestClosedPipeEndsQuietly closes standard output after the first byte, as head does.
func TestClosedPipeEndsQuietly(t *testing.T) {
	cmd := command(t, append([]string{"run", draftInt8, "--prompt", "The wolf"}, longAnswer...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Errorf("it ends with %v and standard error %q", err, stderr.String())
	}
}
