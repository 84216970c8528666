package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/cmd/tti/buildinfo"
	"github.com/tti-llm/tti/format"
)

// The draft model in the modes that tests use, made once by the command itself.
var draftF32, draftInt8 string

const draftSource = "../../testdata/fable-draft"

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "tti-command")
	if err != nil {
		panic(err)
	}
	// No test asks the hub unless it says so.
	os.Setenv("HF_HUB_OFFLINE", "1")
	os.Setenv("HF_HOME", filepath.Join(folder, "huggingface"))
	draftF32, draftInt8 = filepath.Join(folder, "draft-f32.tti"), filepath.Join(folder, "draft-int8.tti")
	for mode, target := range map[string]string{"f32": draftF32, "int8": draftInt8} {
		if err := convertFor(target, draftSource, mode); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// convertFor converts a model by the command itself.
func convertFor(target, source, mode string) error {
	if code := run(context.Background(), []string{"convert", source, "--mode", mode, "-o", target}, nil, os.Stderr, io.Discard); code != 0 {
		return fmt.Errorf("convert %s: exit code %d", source, code)
	}
	return nil
}

// outcome is what a command line came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// tti runs a command line in this process.
func tti(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// succeeds runs a command line that must succeed and say nothing on standard error, and returns its
// output.
func succeeds(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	o := tti(t, stdin, args...)
	if o.code != 0 || o.stderr != "" {
		t.Fatalf("tti %q: exit code %d, standard error %q", args, o.code, o.stderr)
	}
	return o.stdout
}

// refuses runs a command line that must fail with the code, one line on standard error that
// matches the pattern, and no output.
func refuses(t testing.TB, code int, pattern string, args ...string) {
	t.Helper()
	o := tti(t, "", args...)
	if o.code != code || o.stdout != "" {
		t.Errorf("tti %q: exit code %d with output %q, want %d and none", args, o.code, o.stdout, code)
	}
	if !regexp.MustCompile(`^tti: [^\n]*` + pattern + `[^\n]*\n$`).MatchString(o.stderr) {
		t.Errorf("tti %q: standard error %q, want one line with %q", args, o.stderr, pattern)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// decodeStrictly decodes one JSON object that has exactly the fields of value, in one line.
func decodeStrictly(t testing.TB, text string, value any) {
	t.Helper()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("output is not one line: %q", text)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("more than one value: %s", text)
	}
}

// hasKeys checks the names of an object's fields, each given with its path, such as "stats.rate".
func hasKeys(t testing.TB, text string, paths ...string) {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	var found []string
	var collect func(prefix string, value any)
	collect = func(prefix string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				collect(prefix+"."+key, inner)
			}
		case []any:
			if len(value) > 0 {
				collect(prefix+"[]", value[0])
			}
		default:
		}
		found = append(found, strings.TrimPrefix(prefix, "."))
	}
	collect("", object)
	known := map[string]bool{"": true}
	for _, path := range paths {
		known[path] = true
	}
	for _, path := range found {
		if !known[path] && !strings.HasSuffix(path, "[]") {
			t.Errorf("unexpected field %q", path)
		}
		delete(known, path)
	}
	delete(known, "")
	for path := range known {
		t.Errorf("field %q is missing", path)
	}
}

func TestWrongUsageExitsWith2(t *testing.T) {
	for _, test := range []struct {
		args    []string
		pattern string
	}{
		{[]string{"frobnicate"}, `unknown command "frobnicate"`},
		{[]string{"conver"}, `did you mean "convert"`},
		{[]string{"--frobnicate"}, `unknown flag: --frobnicate`},
		{[]string{"completion"}, `no shell`},
		{[]string{"completion", "tcsh"}, `tcsh`},
		{[]string{"version", "x"}, `1 arguments given`},
		{[]string{"convert"}, `0 arguments given, want SRC`},
		{[]string{"convert", "a", "b"}, `2 arguments`},
		{[]string{"convert", "a", "--mode", "int2"}, `"int2" for "--mode" flag: want one of f32, f16, int8, int4`},
		{[]string{"convert", "a", "--mode", "int4", "--int4", "some"}, `"some" for "--int4" flag`},
		{[]string{"convert", "a", "--mode", "int4-blocks", "--int4", "all"}, `--int4 all belongs to --mode int4, the mode is int4-blocks`},
		{[]string{"convert", "a", "--int4", "all"}, `--int4 all belongs to --mode int4, the mode is int8`},
		{[]string{"convert", "a", "--mode", "f32", "--calibrate", "text"}, `--calibrate belongs to --mode int8 or int4, the mode is f32`},
		{[]string{"convert", "a", "--mode", "f16", "--calibrate", "-"}, `--calibrate.*the mode is f16`},
		{[]string{"inspect"}, `0 arguments given, want MODEL`},
		{[]string{"inspect", "a", "b"}, `2 arguments`},
		{[]string{"inspect", "a", "--frob"}, `--frob`},
		{[]string{"verify"}, `0 files given`},
		{[]string{"run"}, `want MODEL`},
		{[]string{"run", "a", "-n", "-1"}, `"-1" for "-n, --tokens" flag: want a whole number, at least 0`},
		{[]string{"run", "a", "-n", "many"}, `"many"`},
		{[]string{"run", "a", "--temp", "-1"}, `--temp.*at least 0`},
		{[]string{"run", "a", "--temp", "NaN"}, `--temp`},
		{[]string{"run", "a", "--temp", "inf"}, `--temp`},
		{[]string{"run", "a", "--top-k", "-5"}, `--top-k`},
		{[]string{"run", "a", "--top-p", "1.5"}, `--top-p.*above 0, at most 1`},
		{[]string{"run", "a", "--min-p", "2"}, `--min-p`},
		{[]string{"run", "a", "--repeat-penalty", "-1"}, `--repeat-penalty`},
		{[]string{"run", "a", "--repeat-penalty", "1e300"}, `--repeat-penalty.*want a number from 1\.2e-38 to 3\.4e\+38`},
		{[]string{"run", "a", "--repeat-penalty", "3.5e38"}, `--repeat-penalty.*want a number`},
		{[]string{"run", "a", "--repeat-penalty", "1e-46"}, `--repeat-penalty.*want a number`},
		{[]string{"run", "a", "--repeat-penalty", "1e-400"}, `--repeat-penalty.*want a number`},
		{[]string{"run", "a", "--repeat-penalty", "1e-9999999999"}, `--repeat-penalty.*want a number`},
		{[]string{"run", "a", "--seed", "-1"}, `--seed" flag: want a whole number from 0`},
		{[]string{"run", "a", "--kv", "f64"}, `--kv.*f32, f16, int8`},
		{[]string{"run", "a", "--threads", "-1"}, `--threads.*from 0 to`},
		{[]string{"run", "a", "--threads", "1000000"}, `--threads`},
		{[]string{"run", "a", "--prompt"}, `--prompt`},
		{[]string{"run", "a", "--draft"}, `--draft`},
		{[]string{"run", "a", "--draft", "ngram", "--draft-len", "17"}, `--draft-len.*from 0 to 16`},
		{[]string{"run", "a", "--draft-len", "4"}, `--draft-len belongs to --draft`},
		{[]string{"run", "a", "--prompt", "x", "--draft", "ngram", "--highlight", "--json"}, `highlight is for text`},
		{[]string{"run", "a", "--highlight"}, `--highlight belongs to --draft`},
		{[]string{"run", "a", "--stream"}, `--stream belongs to --json`},
		{[]string{"run", "a", "b", "c"}, `3 arguments given.*quotes`},
		{[]string{"run", "a", "b", "--prompt", "c"}, `given twice`},
		{[]string{"run", "a", "b", "-f", "c"}, `given twice`},
		{[]string{"run", "a", "-p", "b", "-f", "c"}, `given twice`},
		{[]string{"run", "a", "--raw", "--system", "b"}, `--system is for a chat`},
		{[]string{"run", "a", "--raw", "--template", "b"}, `--template is for a chat`},
		{[]string{"run", "a", "--top-p", "0"}, `--top-p.*above 0`},
		{[]string{"run", "a", "--repeat-penalty", "0"}, `--repeat-penalty`},
		{[]string{"run", "a", "--temp", "0", "--top-k", "5"}, `--top-k has no effect at temperature 0`},
		{[]string{"run", "a", "--temp", "0", "--seed", "5"}, `--seed has no effect at temperature 0`},
		{[]string{"bench", "a", "--draft", "ngram", "--top-p", "0.9"}, `--top-p has no effect at temperature 0.*give --temp too`},
		{[]string{"eval", "a"}, `--text is missing`},
		{[]string{"eval"}, `want MODEL`},
		{[]string{"tokenize"}, `want MODEL`},
		{[]string{"tokenize", "a", "b", "c"}, `3 arguments`},
		{[]string{"tokenize", "a", "b", "--decode", "--special"}, `--special`},
		{[]string{"bench"}, `0 files`},
		{[]string{"bench", "a", "b"}, `2 files`},
		{[]string{"bench", "a", "--synthetic", "gpt2"}, `1 files`},
		{[]string{"bench", "--synthetic", "gpt9"}, `--synthetic.*gpt2`},
		{[]string{"bench", draftInt8, "--mode", "int4"}, `--mode is for models of the hub`},
		{[]string{"bench", "a", "--repeats", "0"}, `--repeats`},
		{[]string{"bench", "a", "--temp", "1"}, `--temp belongs to --draft`},
		{[]string{"bench", "a", "--draft", "ngram", "-n", "1"}, `--tokens" flag: want a whole number, at least 2`},
		{[]string{"bench", "a", "--threads", "-2"}, `--threads`},
	} {
		refuses(t, 2, test.pattern, test.args...)
	}
}

func TestWhatCannotBeDoneExitsWith1(t *testing.T) {
	folder := t.TempDir()
	missing, empty, other := filepath.Join(folder, "missing.tti"), filepath.Join(folder, "empty.tti"), filepath.Join(folder, "other.tti")
	if err := errors.Join(os.WriteFile(empty, nil, 0o666), os.WriteFile(other, []byte(strings.Repeat("no model ", 99)), 0o666)); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"inspect"}, {"verify"}, {"run", "--prompt", "x"}, {"eval", "--text", empty}, {"tokenize", "--"}, {"bench"}} {
		for _, file := range []string{missing, empty, other, folder} {
			refuses(t, 1, regexp.QuoteMeta(file), append(command, file)...)
		}
	}
	refuses(t, 1, `missing`, "convert", missing)
	refuses(t, 1, `config.json`, "convert", folder)
	refuses(t, 1, regexp.QuoteMeta(folder), "convert", draftSource, "-o", folder)
	refuses(t, 1, `nowhere`, "convert", draftSource, "-o", filepath.Join(folder, "nowhere", "x.tti"))
	refuses(t, 1, `missing.txt`, "eval", draftInt8, "--text", filepath.Join(folder, "missing.txt"))
	refuses(t, 1, `empty.tti.*no tokens`, "eval", draftInt8, "--text", empty)
	refuses(t, 1, `99999`, "tokenize", draftInt8, "--decode", "1 99999")
	refuses(t, 1, `"x"`, "tokenize", draftInt8, "--decode", "1 x")
	refuses(t, 1, `context is full: the prompt has \d+ tokens, the model 512 positions`, "run", draftInt8, "--prompt", strings.Repeat("wolf and ", 512))

	t.Setenv("TTI_KERNELS", "abacus")
	refuses(t, 1, `TTI_KERNELS.*"abacus"`, "run", draftInt8, "--prompt", "x")
}

// TestLongErrorsAreCut has an error that quotes a word of megabytes, as JSON does with numbers.
func TestLongErrorsAreCut(t *testing.T) {
	err := fmt.Errorf("convert x:\nnumber %s", strings.Repeat("é", 1<<20))
	if text := oneLine(err); len(text) > 2003 || !strings.HasPrefix(text, "convert x: number é") || !utf8.ValidString(text) {
		t.Errorf("%d bytes: %.100q", len(text), text)
	}
}

// TestDamageIsRefused flips a bit in every section, in header and index and cuts the file short:
// verify and run must both refuse it in one line that names the file, and the section.
func TestDamageIsRefused(t *testing.T) {
	whole, err := os.ReadFile(draftInt8)
	if err != nil {
		t.Fatal(err)
	}
	file, err := format.Open(draftInt8)
	if err != nil {
		t.Fatal(err)
	}
	sections := file.Sections()
	file.Close()
	damaged := filepath.Join(t.TempDir(), "damaged.tti")
	check := func(contents []byte, pattern string) {
		t.Helper()
		if err := os.WriteFile(damaged, contents, 0o666); err != nil {
			t.Fatal(err)
		}
		refuses(t, 1, `damaged\.tti: `+pattern, "verify", damaged)
		refuses(t, 1, `damaged\.tti: `+pattern, "run", damaged, "--prompt", "x")
	}
	flip := func(at int64) []byte {
		contents := bytes.Clone(whole)
		contents[at] ^= 4
		return contents
	}
	for _, at := range []int64{0, 9, 30, 60, 70, 130} {
		check(flip(at), "")
	}
	for _, s := range sections {
		check(flip(s.Offset+s.Length/2), regexp.QuoteMeta(`section "`+s.Name+`": checksum does not match`))
	}
	for _, n := range []int{1, 63, 64, 1000, len(whole) / 2, len(whole) - 1} {
		check(whole[:n], "")
	}
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	for _, command := range []string{"convert", "pack", "unpack", "inspect", "verify", "run", "eval", "tokenize", "bench"} {
		help := succeeds(t, "", command, "--help")
		for _, want := range []string{"Usage:\n  tti " + command, "Examples:\n  tti " + command, "Flags:"} {
			if !strings.Contains(help, want) {
				t.Errorf("help of %s lacks %q:\n%s", command, want, help)
			}
		}
	}
	if help := succeeds(t, "", "--help"); !strings.Contains(help, "Exit codes:") {
		t.Errorf("help lacks exit codes:\n%s", help)
	}
}

func TestCompletion(t *testing.T) {
	if script := succeeds(t, "", "completion", "bash"); !strings.Contains(script, "__start_tti") {
		t.Error("no completion script for bash")
	}
	// cobra's own interface between scripts and program; its notes go to standard error.
	if o := tti(t, "", "__complete", "convert", "x", "--mode", ""); !strings.HasPrefix(o.stdout, "f32\nf16\nint8\nint4\n") {
		t.Errorf("modes complete to %q", o.stdout)
	}
	directory := t.TempDir()
	for _, name := range []string{"near.tti", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(directory, "nest"), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Chdir(directory)
	if o := tti(t, "", "__complete", "run", "x.tti", "--draft", "n"); !strings.HasPrefix(o.stdout, "ngram\nnear.tti\nnest"+string(filepath.Separator)+"\n:") {
		t.Errorf("drafts complete to %q", o.stdout)
	}
}

func TestVersion(t *testing.T) {
	text := succeeds(t, "", "version")
	if !strings.HasPrefix(text, "tti "+buildinfo.Version()+", file format "+format.Specification+"\n") || !strings.Contains(text, "built    go") || !strings.Contains(text, "\nCPU  ") {
		t.Errorf("version says %q", text)
	}
	t.Setenv("TTI_KERNELS", "go")
	if text := succeeds(t, "", "version"); !strings.Contains(text, "\nkernels  go\n") {
		t.Errorf("with TTI_KERNELS=go version says %q", text)
	}
}

// failing is standard output that cannot be written to.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestStandardOutputThatFails(t *testing.T) {
	for _, args := range [][]string{
		{"run", draftInt8, "--prompt", "x", "-n", "4"}, {"run", draftInt8, "--prompt", "x", "-n", "4", "--json"},
		{"inspect", draftInt8}, {"verify", draftInt8}, {"tokenize", draftInt8, "x"}, {"version"},
	} {
		for err, want := range map[error]string{
			syscall.ENOSPC: "tti: write standard output: no space left on device\n",
			syscall.EPIPE:  "", // nobody listens any more: no reason to complain
		} {
			var stderr bytes.Buffer
			code := run(context.Background(), args, strings.NewReader(""), failing{err}, &stderr)
			if code != 1 || stderr.String() != want {
				t.Errorf("tti %q, output failing with %v: exit code %d, standard error %q, want 1 and %q", args, err, code, stderr.String(), want)
			}
		}
	}
}
