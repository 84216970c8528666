package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// randomDraft returns a small f32 model with random weights and a short context. change, if not nil,
// may alter its directory, which else has the vocabulary of the models of testdata.
func randomDraft(t *testing.T, change func(directory string)) string {
	t.Helper()
	directory, target := t.TempDir(), filepath.Join(t.TempDir(), "random.tti")
	shape := synthetic.Model{Vocabulary: 2048, Context: 24, Embedding: 64, Layers: 1, Heads: 1}
	if err := synthetic.Write(context.Background(), directory, shape); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vocab.json", "merges.txt"} {
		copyFile(t, filepath.Join(draftSource, name), filepath.Join(directory, name))
	}
	if change != nil {
		change(directory)
	}
	if o := tti(t, "", "convert", directory, "--mode", "f32", "-o", target); o.code != 0 {
		t.Fatal(o.stderr)
	}
	return target
}

func copyFile(t *testing.T, source, target string) {
	t.Helper()
	contents, err := os.ReadFile(source)
	if err == nil {
		err = os.WriteFile(target, contents, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// overflowing changes the last norm of a model such that its logits are no numbers.
func overflowing(t *testing.T) func(directory string) {
	return func(directory string) {
		path := filepath.Join(directory, "model.safetensors")
		contents, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		length := binary.LittleEndian.Uint64(contents)
		var header map[string]struct {
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(contents[8:8+length], &header); err != nil {
			t.Fatal(err)
		}
		data, at := contents[8+length:], header["ln_f.weight"].Offsets
		for i := at[0]; i < at[1]; i += 4 {
			binary.LittleEndian.PutUint32(data[i:], math.Float32bits(math.MaxFloat32))
		}
		if err := os.WriteFile(path, contents, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRunDraftNeverChangesTheText compares texts with every kind of draft with those without, through
// every way in which they end.
func TestRunDraftNeverChangesTheText(t *testing.T) {
	drafts := [][]string{
		{"--draft", "ngram"},
		{"--draft", draftF32},
		{"--draft", "ngram", "--draft", draftF32},
		{"--draft", "ngram", "--draft-len", "7"},
		{"--draft", draftF32, "--draft-len", "1"},
		{"--draft", draftF32, "--draft-len", "16"},
		{"--draft", randomDraft(t, nil), "--draft-len", "3"}, // its context ends before the text
	}
	for name, args := range map[string][]string{
		"greedy":       {"-n", "60"},
		"sampled":      {"-n", "60", "--temp", "0.8", "--top-k", "40", "--seed", "5", "--repeat-penalty", "1.1"},
		"stop":         {"-n", "60", "--stop", " and", "--stop", "the w"},
		"end of text":  {"-n", "300", "--temp", "2", "--top-p", "1", "--seed", "5"},
		"full context": {"-n", "100000", "--ignore-eos"},
		"nothing":      {"-n", "0"},
		"one":          {"-n", "1"},
	} {
		args := append([]string{"--prompt", "The wolf went to the door and said"}, args...)
		streaming := append([]string{"run", draftInt8}, greedily(args)...)
		want, streamed := runJSON(t, "", args...), succeeds(t, "", streaming...)
		if finish := want.FinishReason; (name == "stop" || name == "end of text") != (finish == runtime.FinishStop) {
			t.Errorf("%s: finished by %s", name, finish)
		}
		for _, draft := range drafts {
			got := runJSON(t, "", append(args, draft...)...)
			if !slices.Equal(got.IDs, want.IDs) || got.Text != want.Text || got.FinishReason != want.FinishReason {
				t.Errorf("%s with %v: %+v, want %+v", name, draft, got, want)
			}
			if got := succeeds(t, "", slices.Concat(streaming, draft)...); got != streamed {
				t.Errorf("%s with %v: %q, want %q", name, draft, got, streamed)
			}
		}
	}
}

func TestRunDraftStatistics(t *testing.T) {
	args := []string{"--prompt", "The wolf", "-n", "50", "--ignore-eos"}
	if plain := runJSON(t, "", args...).Stats; plain.TargetPasses != 50 || plain.Drafted != 0 || plain.Accepted != 0 || !(plain.Decode > 0) {
		t.Errorf("without a draft: %+v", plain)
	}
	args = append(args, "--draft", draftF32, "--draft-len", "4") // nearly the target itself
	s := runJSON(t, "", args...).Stats
	if s.TargetPasses < 11 || s.TargetPasses > 30 || s.Accepted > s.Drafted || s.Accepted+s.TargetPasses != 50 || s.Judged < s.Accepted || s.Judged > s.Drafted || !(s.AcceptanceRate > 0.5 && s.MeanAccepted > 1) {
		t.Errorf("with a draft: %+v", s)
	}
	o := tti(t, "", append([]string{"run", draftInt8, "--stats"}, greedily(args)...)...)
	pattern := `^2 prompt tokens, .* tok/s; 50 new tokens, .* tok/s; \d+ guesses, \d+ accepted: acceptance rate \d+ % \(of the \d+ whose forerunners were right\), mean accepted length [\d.]+, 0\.\d\d target passes per token; finished by length; context 51 of 512; greedy\n$`
	if o.code != 0 || !regexp.MustCompile(pattern).MatchString(o.stderr) {
		t.Errorf("statistics %q", o.stderr)
	}
}

func TestRunDraftRefusals(t *testing.T) {
	other := randomDraft(t, func(directory string) {
		shape := synthetic.Model{Vocabulary: 2048, Context: 24, Embedding: 64, Layers: 1, Heads: 1}
		if err := synthetic.Write(context.Background(), directory, shape); err != nil {
			t.Fatal(err)
		}
	})
	run := []string{"run", draftInt8, "--prompt", "x", "--draft"}
	refuses(t, 1, regexp.QuoteMeta(other)+`: vocabularies differ.*`+regexp.QuoteMeta(draftInt8), append(run, other)...)
	refuses(t, 1, `missing\.tti`, append(run, filepath.Join(t.TempDir(), "missing.tti"))...)
	refuses(t, 1, `missing\.tti`, append(run, draftF32, "--draft", filepath.Join(t.TempDir(), "missing.tti"))...)
}

// TestRunDraftFails has a draft whose logits are no numbers: that is told, and the text goes on.
func TestRunDraftFails(t *testing.T) {
	want := succeeds(t, "", "run", draftInt8, "--prompt", "The wolf", "--temp", "0", "-n", "30")
	broken := randomDraft(t, overflowing(t))
	for _, args := range [][]string{{}, {"--draft-len", "2"}} {
		o := tti(t, "", append([]string{"run", draftInt8, "--prompt", "The wolf", "--temp", "0", "-n", "30", "--draft", broken}, args...)...)
		if o.code != 0 || o.stdout != want || !strings.HasPrefix(o.stderr, "tti: draft: "+broken+": ") || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("exit code %d, text %q, standard error %q, want the text %q", o.code, o.stdout, o.stderr, want)
		}
	}
}

func TestRunDraftCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"run", draftInt8, "--prompt", "The wolf", "--draft", "ngram", "--json"}, strings.NewReader(""), &stdout, &stderr)
	var a answer
	decodeStrictly(t, stdout.String(), &a)
	if code != 130 || stderr.String() != "tti: interrupted\n" || a.FinishReason != runtime.FinishCancelled || len(a.IDs) != 0 {
		t.Errorf("exit code %d, standard error %q, answer %+v", code, stderr.String(), a)
	}
}

// TestChatWithDraft compares a conversation with that without a draft, and counts what later turns
// run of the text so far.
func TestChatWithDraft(t *testing.T) {
	lines := []string{"Once upon a time", "The wolf", "", "/reset", "The wolf", ""}
	flags := []string{"-n", "12", "--temp", "0.7", "--seed", "5"}
	want, _ := talk(t, flags, lines...)
	for _, draft := range [][]string{{"--draft", "ngram"}, {"--draft", draftF32}, {"--draft", draftF32, "--draft-len", "5"}} {
		if got, _ := talk(t, append(flags, draft...), lines...); got != want {
			t.Errorf("%v: %q, want %q", draft, got, want)
		}
	}
	_, notes := talk(t, append(flags, "--stats", "--draft", draftF32, "--draft-len", "5"), "Once upon a time there was a wolf", "", "")
	if turns := strings.SplitAfter(notes, "]\n"); len(turns) != 4 || !strings.HasPrefix(turns[1], "[1 prompt tokens") || !strings.HasPrefix(turns[2], "[1 prompt tokens") {
		t.Errorf("statistics %q", notes)
	}
}

// TestHighlightIsForTerminals: elsewhere the text is as it is without.
func TestHighlightIsForTerminals(t *testing.T) {
	args := []string{"run", draftInt8, "--prompt", "The wolf", "-n", "20", "--temp", "0", "--draft", "ngram"}
	if want, got := succeeds(t, "", args...), succeeds(t, "", append(args, "--highlight")...); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for origin, want := range map[spec.Origin]string{spec.FromTarget: "fox", spec.FromDraft: "\x1b[32mfox\x1b[0m", spec.FromNGram: "\x1b[36mfox\x1b[0m"} {
		if got := coloured("fox", origin); got != want {
			t.Errorf("from the %s: %q, want %q", origin, got, want)
		}
	}
	if got := coloured("", spec.FromDraft); got != "" {
		t.Errorf("no text is coloured %q", got)
	}
}
