package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMistakenFiles gives every command that takes a .tti file something else: it is named as what it is, with the command that helps.
func TestMistakenFiles(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	commands := [][]string{{"inspect"}, {"verify"}, {"run", "-p", "x"}, {"run", draftInt8, "-p", "x", "--draft"}, {"eval", "--text", draftSource + "/config.json"}, {"tokenize", "--"}, {"bench"}, {"export", "-o", filepath.Join(folder, "x")}, {"pack"}}
	refuses(t, 1, `is a safetensors file.*tti convert `+draftSource, "convert", draftSource+"/model.safetensors")
	refuses(t, 1, `is a safetensors file.*tti convert `+draftSource, "serve", draftSource+"/model.safetensors")
	for given, want := range map[string]string{
		draftSource + "/model.safetensors":                   `safetensors file.*tti convert ` + draftSource,
		write("x.gguf", "GGUF\x03\x00\x00\x00\x00"):          `GGUF file.*tti convert`,
		write("story.txt", "Once upon a time — there was"):   `is text; "tti run MODEL.tti --file"`,
		write("pytorch_model.bin", "\x80\x02}q\x00."):        `pickled PyTorch file.*safetensors`,
		write("new.bin", "PK\x03\x04aaaaaarchive/data.pklx"): `pickled PyTorch file.*safetensors`,
		draftSource:                           `is a model directory.*tti convert ` + draftSource,
		folder:                                `is a directory.*tti convert`,
		filepath.Join(folder, "gpt2"):         `there is no such file; want a .tti file, or the id of a model`,
		filepath.Join(folder, "missing.tti"):  `there is no such file`,
		write("noise.tti", "\x00\x01\x02abc"): `noise\.tti: `,
	} {
		for _, command := range commands {
			o := tti(t, "", append(command, given)...)
			if o.code != 1 || o.stdout != "" || !regexp.MustCompile(`^tti: [^\n]*`+regexp.QuoteMeta(given)+`: [^\n]*\n$`).MatchString(o.stderr) || !regexp.MustCompile(want).MatchString(o.stderr) {
				t.Errorf("%s %s: exit code %d, standard error %q, want %s", command[0], given, o.code, o.stderr, want)
			}
		}
	}
}

// TestNoWordsOfGo: what the standard library calls a failed call does not reach a user.
func TestNoWordsOfGo(t *testing.T) {
	folder := t.TempDir()
	for _, args := range [][]string{
		{"eval", draftInt8, "--text", filepath.Join(folder, "missing")}, {"eval", draftInt8, "--text", folder},
		{"run", draftInt8, "-f", filepath.Join(folder, "missing")}, {"run", draftInt8, "-p", "x", "--template", filepath.Join(folder, "missing")},
		{"run", draftInt8, "-p", "x", "--raw=perhaps"}, {"run", draftInt8, "-p", "x", "--seed", "1e9"},
		{"tokenize", draftInt8, "--decode", "x"}, {"convert", filepath.Join(folder, "missing")}, {"convert", draftSource, "-o", filepath.Join(folder, "no", "x.tti")},
		{"tokenize", chatModel(t), "--chat", "Hello"}, {"tokenize", chatModel(t), "--chat", `{"role":1}`}, {"tokenize", chatModel(t), "--chat", `["x"]`},
		{"bench", draftInt8, "--draft", "ngram", "--prompts", filepath.Join(folder, "missing")},
	} {
		o := tti(t, "", args...)
		if o.code == 0 || regexp.MustCompile(`\b(open|stat|lstat|read) /|strconv|json:|file does not exist|invalid character|Go value`).MatchString(o.stderr) {
			t.Errorf("%q: exit code %d, standard error %q", args, o.code, o.stderr)
		}
	}
}

// TestNoWordsOfGoAboutTheNetwork: an error about a connection says what is wrong, without addresses of name servers.
func TestNoWordsOfGoAboutTheNetwork(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	_, refused := net.Dial("tcp", listener.Addr().String())
	lookup := func(err net.DNSError) error { return &net.OpError{Op: "dial", Net: "tcp", Err: &err} }
	for _, c := range []struct {
		err  error
		want string
	}{
		{refused, "hub: connection refused"},
		{lookup(net.DNSError{Err: "no such host", Name: "x", Server: "10.0.0.1:53", IsNotFound: true}), "hub: no such host, or no network"},
		{lookup(net.DNSError{Err: "i/o timeout", Name: "x", Server: "10.0.0.1:53", IsTimeout: true}), "hub: the name could not be looked up"},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, "hub: i/o timeout"},
	} {
		if got := plainly(fmt.Errorf("hub: %w", c.err)); got != c.want {
			t.Errorf("%v is told as %q, want %q", c.err, got, c.want)
		}
	}
}

func TestSuggestions(t *testing.T) {
	for given, want := range map[string]string{
		"--temperature": "--temp", "--max-tokens": "--tokens", "--n_predict": "--tokens", "--top_p": "--top-p", "--topk": "--top-k", "--sead": "--seed",
		"--repetition-penalty": "--repeat-penalty", "--syst": "--system", "--pormpt": "--prompt", "--chat-template": "--template", "--thread": "--threads",
	} {
		refuses(t, 2, fmt.Sprintf(`unknown flag: %s, did you mean %s\?`, given, want), "run", "a", given, "1")
	}
	refuses(t, 2, `unknown flag: --quantize, did you mean --mode\?`, "convert", "a", "--quantize", "int4")
	for _, given := range []string{"--frobnicate", "--xy", "--port", "-Q"} {
		if o := tti(t, "", "run", "a", given); o.code != 2 || strings.Contains(o.stderr, "did you mean") {
			t.Errorf("%s: %q", given, o.stderr)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"intention", "execution", 5}} {
		if got := editDistance(c.a, c.b); got != c.want || editDistance(c.b, c.a) != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestBareCommand: tti alone shows its help, and --version what version does.
func TestBareCommand(t *testing.T) {
	if bare, help := succeeds(t, ""), succeeds(t, "", "--help"); bare != help || !strings.Contains(bare, "Usage:") {
		t.Errorf("tti shows %q, with --help %q", bare, help)
	}
	if short, long := succeeds(t, "", "--version"), succeeds(t, "", "version"); short != long {
		t.Errorf("--version shows %q, version %q", short, long)
	}
}

func TestDecodeOfSeveralArguments(t *testing.T) {
	want := succeeds(t, "", "tokenize", draftInt8, "--decode", "1 2 3")
	for _, args := range [][]string{{draftInt8, "--decode", "1,2", "3"}, {"--decode", draftInt8, "1,2", "3"}, {draftInt8, "--decode", "1", "2,3"}, {draftInt8, "1", "2", "3", "--decode"}} {
		if got := succeeds(t, "", append([]string{"tokenize"}, args...)...); got != want || want == "" {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

// TestVerifySeveral checks all files, and says which are bad.
func TestVerifySeveral(t *testing.T) {
	text := succeeds(t, "", "verify", draftInt8, draftF32)
	if strings.Count(text, ": ok, ") != 2 || !strings.HasPrefix(text, draftInt8+": ok") {
		t.Errorf("verify says %q", text)
	}
	bad := filepath.Join(t.TempDir(), "bad.tti")
	if err := os.WriteFile(bad, readFile(t, draftInt8)[:1000], 0o666); err != nil {
		t.Fatal(err)
	}
	o := tti(t, "", "verify", bad, draftInt8, bad+"x")
	if o.code != 1 || !strings.HasPrefix(o.stdout, draftInt8+": ok") || !regexp.MustCompile(`^tti: [^\n]*bad\.tti: [^\n]*\ntti: [^\n]*bad\.ttix: there is no such file\n$`).MatchString(o.stderr) {
		t.Errorf("exit code %d, output %q, standard error %q", o.code, o.stdout, o.stderr)
	}
}

// TestNoOutputToAStream: these files are not written from their beginning to their end.
func TestNoOutputToAStream(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"convert", "x"}, {"export", "x.tti"}, {"pack", "x.tti"}, {"unpack", "x.tti.zst"}} {
		refuses(t, 2, `-o -: .*not written to standard output`, append(args, "-o", "-")...)
	}
}
