//go:build unix

package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tti-llm/tti/format/trials"
)

// changes are what may become of a file while a program has mapped it.
var changes = map[string]func(random *rand.Rand, path string, size int64, other []byte) error{
	"truncated": func(random *rand.Rand, path string, size int64, _ []byte) error {
		return os.Truncate(path, random.Int64N(size))
	},
	"emptied": func(_ *rand.Rand, path string, _ int64, _ []byte) error { return os.Truncate(path, 0) },
	"filled with noise": func(random *rand.Rand, path string, size int64, _ []byte) error {
		start := random.Int64N(size)
		noise := make([]byte, 1+random.Int64N(size-start))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		return writeAt(path, noise, start)
	},
	"overwritten by another": func(_ *rand.Rand, path string, _ int64, other []byte) error { return os.WriteFile(path, other, 0o666) },
}

func writeAt(path string, content []byte, start int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(content, start)
	return errors.Join(err, file.Close())
}

// reading is a command that reads OUT, which the first word of a command line has written, and fails unless it is whole.
var reading = map[string]string{"pack": "verify OUT", "unpack": "verify OUT", "export": "convert OUT -o OUT.tti"}

// listing returns the names of what is in a folder beside a file, separated by spaces.
func listing(t *testing.T, folder, file string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != filepath.Base(file) {
			names = append(names, entry.Name())
		}
	}
	return strings.Join(names, " ")
}

// TestChangingFile changes the file that a command works on, at random moments: it succeeds, or fails with one line that
// names the file, but never dies of a signal or a panic. What it is to write is there and whole when it succeeds, and not
// there when it fails.
func TestChangingFile(t *testing.T) {
	if testing.Short() && !trials.Asked() {
		t.Skip("starts many processes")
	}
	times := trials.Count(t, 1, 1) // that each command meets each kind of change
	const text = "../../testdata/golden/fable-eval.txt"
	if _, err := program(); err != nil {
		t.Fatal(err)
	}
	story := readFile(t, text)
	long := bytes.Repeat(story, 20)
	packedFile := filepath.Join(t.TempDir(), "draft.tti.zst")
	if o := tti(t, "", "pack", draftInt8, "-o", packedFile); o.code != 0 {
		t.Fatal(o.stderr)
	}
	// FILE stands for the file that changes, OUT for something to be written, STABLE for the same contents unchanged.
	for _, line := range []struct {
		source string
		stdin  []byte
		words  string
	}{
		{draftInt8, nil, "run FILE --prompt The -n 40 --ignore-eos"},
		{draftInt8, nil, "run FILE --prompt The -n 40 --ignore-eos --json --draft ngram"},
		{draftInt8, nil, "run STABLE --prompt The -n 40 --ignore-eos --draft FILE --draft-len 2"},
		{draftInt8, nil, "run FILE --prompt The -n 40 --ignore-eos --draft STABLE"},
		{draftInt8, []byte("The wolf\n\nand the fox\n"), "run FILE -n 20"},
		{draftInt8, story[:1000], "eval FILE --text -"},
		{draftInt8, story[:700], "eval FILE --text - --compare STABLE"},
		{draftInt8, story[:700], "eval STABLE --text - --compare FILE"},
		{draftInt8, long, "tokenize FILE"},
		{draftInt8, long, "tokenize FILE --special"},
		{draftInt8, []byte(strings.Repeat("5 300 1000 ", 50000)), "tokenize FILE --decode"},
		{draftInt8, nil, "bench FILE --repeats 1 -n 8 --draft ngram"},
		{draftInt8, nil, "inspect FILE --json"},
		{draftInt8, nil, "inspect FILE --errors " + draftSource},
		{draftInt8, nil, "verify FILE"},
		{draftInt8, nil, "pack FILE -o OUT"},
		{draftInt8, nil, "export FILE -o OUT"},
		{packedFile, nil, "verify FILE"},
		{packedFile, nil, "inspect FILE"},
		{packedFile, nil, "unpack FILE -o OUT"},
	} {
		t.Run(strings.ReplaceAll(line.words, " ", "_"), func(t *testing.T) {
			content := readFile(t, line.source)
			other := readFile(t, draftF32)
			random := rand.New(rand.NewPCG(rand.Uint64(), 0))
			folder := t.TempDir()
			file, out := filepath.Join(folder, filepath.Base(line.source)), filepath.Join(folder, "out")
			words := strings.NewReplacer("FILE", file, "OUT", out, "STABLE", line.source).Replace(line.words)
			run := func(change func(*exec.Cmd)) (*exec.Cmd, string) {
				t.Helper()
				if err := errors.Join(os.RemoveAll(out), os.WriteFile(file, content, 0o666)); err != nil {
					t.Fatal(err)
				}
				cmd := command(t, strings.Fields(words)...)
				var stderr bytes.Buffer
				cmd.Stdin, cmd.Stderr = bytes.NewReader(line.stdin), &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				change(cmd)
				cmd.Wait()
				return cmd, stderr.String()
			}
			began := time.Now()
			if cmd, stderr := run(func(cmd *exec.Cmd) {}); !cmd.ProcessState.Success() {
				t.Fatalf("undisturbed: %v, %s", cmd.ProcessState, stderr)
			}
			whole := time.Since(began)
			refused, wrote := 0, 0
			for name, change := range changes {
				for range times {
					cmd, stderr := run(func(*exec.Cmd) {
						time.Sleep(time.Duration(random.Int64N(int64(whole))))
						if err := change(random, file, int64(len(content)), other); err != nil {
							t.Fatal(err)
						}
					})
					code := cmd.ProcessState.ExitCode()
					oneError := regexp.MustCompile(`^(?:[^\n]+\n)*tti: [^\n]*` + regexp.QuoteMeta(file) + `[^\n]*\n$`).MatchString(stderr)
					if code == exitFailed {
						refused++
					}
					if code != exitDone && (code != exitFailed || !oneError) || strings.Contains(stderr, "goroutine") {
						t.Errorf("%s: %v, %s", name, cmd.ProcessState, stderr)
					} else if code == exitFailed && strings.Count(stderr, file) != 1 {
						t.Errorf("%s: the file is named more than once: %s", name, stderr)
					}
					check, writes := reading[strings.Fields(words)[0]]
					want := ""
					if writes && code == exitDone {
						wrote++
						want = "out"
					}
					if left := listing(t, folder, file); left != want {
						t.Errorf("%s: %v leaves %q, want %q", name, cmd.ProcessState, left, want)
					} else if left != "" {
						if o := tti(t, "", strings.Fields(strings.ReplaceAll(check, "OUT", out))...); o.code != exitDone {
							t.Errorf("%s: it succeeds, but %s", name, o.stderr)
						}
						os.Remove(out + ".tti")
					}
				}
			}
			t.Logf("%d of %d trials end with an error, within %v; %d times something was written, whole", refused, times*len(changes), whole, wrote)
		})
	}
}
