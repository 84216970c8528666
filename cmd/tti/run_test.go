package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tti-llm/tti/runtime"
)

// TestRunMatchesReference compares the text with that of an independent implementation in float64,
// wherever that is sure of every token.
func TestRunMatchesReference(t *testing.T) {
	text, err := os.ReadFile("../../testdata/golden/fable-draft.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Prompt     string    `json:"prompt"`
			GreedyText string    `json:"greedy_text"`
			GreedyGap  []float64 `json:"greedy_gap"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range golden.Cases {
		if slices.Min(c.GreedyGap) < 4e-3 {
			continue
		}
		compared++
		if got := succeeds(t, "", "run", draftF32, "--prompt", c.Prompt, "-n", "48", "--temp", "0"); got != c.GreedyText {
			t.Errorf("%q goes on %q, want %q", c.Prompt, got, c.GreedyText)
		}
	}
	if compared < 3 {
		t.Errorf("%d cases compared", compared)
	}
}

// greedily returns the flags with --temp 0, unless they give a temperature.
func greedily(flags []string) []string {
	if slices.Contains(flags, "--temp") {
		return flags
	}
	return append([]string{"--temp", "0"}, flags...)
}

// runJSON runs a prompt with --json and the flags.
func runJSON(t *testing.T, stdin string, flags ...string) answer {
	t.Helper()
	text := succeeds(t, stdin, append([]string{"run", draftInt8, "--json"}, greedily(flags)...)...)
	hasKeys(t, text, "model", "prompt_ids", "ids", "text", "finish_reason", "chat", "context", "stats",
		"sampling", "sampling.temperature", "sampling.top_k", "sampling.top_p", "sampling.min_p", "sampling.repetition_penalty", "sampling.seed",
		"stats.prompt_tokens", "stats.prefill_tok_s", "stats.decode_tok_s", "stats.decode_tokens",
		"stats.target_passes", "stats.drafted", "stats.accepted", "stats.acceptance_rate", "stats.judged", "stats.mean_accepted_length")
	var a answer
	decodeStrictly(t, text, &a)
	return a
}

func TestRunJSON(t *testing.T) {
	sampled := []string{"--prompt", "Once upon a time", "-n", "20", "--temp", "0.9", "--top-k", "50", "--top-p", "0.95", "--min-p", "0.01", "--repeat-penalty", "1.1"}
	a := runJSON(t, "", append(sampled, "--seed", "3")...)
	if a.Model != draftInt8 || a.FinishReason != runtime.FinishLength || len(a.IDs) != 20 || a.Stats.DecodeTokens != 20 ||
		a.Stats.PromptTokens != len(a.PromptIDs) || len(a.PromptIDs) == 0 || !(a.Stats.Prefill > 0 && a.Stats.Decode > 0) {
		t.Errorf("answer %+v", a)
	}
	streamed := succeeds(t, "", append([]string{"run", draftInt8, "--seed", "3"}, sampled...)...)
	if streamed != a.Text || !utf8.ValidString(streamed) {
		t.Errorf("text is %q, streamed it is %q", a.Text, streamed)
	}
	ids := strings.TrimSuffix(succeeds(t, a.Text, "tokenize", draftInt8), "\n")
	if got := succeeds(t, ids, "tokenize", draftInt8, "--decode"); got != a.Text {
		t.Errorf("text %q comes back as %q", a.Text, got)
	}
	if other := runJSON(t, "", append(sampled, "--seed", "4")...); other.Text == a.Text {
		t.Error("another seed gives the same text")
	}
	if none := runJSON(t, "", "--prompt", "Once", "-n", "0"); len(none.IDs) != 0 || none.Text != "" || none.FinishReason != runtime.FinishLength {
		t.Errorf("no tokens give %+v", none)
	}
}

func TestRunReadsStandardInput(t *testing.T) {
	want := runJSON(t, "ignored", "--prompt", "The old king", "-n", "8")
	for _, stdin := range []string{"The old king", "The old king\n", "The old king\r\n"} {
		for _, flags := range [][]string{{"-n", "8"}, {"-n", "8", "--prompt", "-"}} {
			if got := runJSON(t, stdin, flags...); !slices.Equal(got.PromptIDs, want.PromptIDs) || got.Text != want.Text {
				t.Errorf("standard input %q with %v: %+v, want %+v", stdin, flags, got, want)
			}
		}
	}
	// One newline is the tool's, more are the text's.
	if got := runJSON(t, "The old king\n\n", "-n", "1"); len(got.PromptIDs) != len(want.PromptIDs)+1 {
		t.Errorf("prompt ids %v", got.PromptIDs)
	}
}

func TestRunEmptyPromptBeginsAText(t *testing.T) {
	const eos = 2047
	for _, flags := range [][]string{{"-n", "4"}, {"-n", "4", "--prompt", ""}} {
		if got := runJSON(t, "", flags...); !slices.Equal(got.PromptIDs, []int32{eos}) || len(got.IDs) != 4 {
			t.Errorf("%v: %+v", flags, got)
		}
	}
}

func TestRunSpecial(t *testing.T) {
	plain := runJSON(t, "", "--prompt", "<|endoftext|>", "-n", "1").PromptIDs
	if special := runJSON(t, "", "--prompt", "<|endoftext|>", "-n", "1", "--special").PromptIDs; !slices.Equal(special, []int32{2047}) || len(plain) < 2 {
		t.Errorf("a control token's name is %v, with --special %v", plain, special)
	}
}

func TestRunStop(t *testing.T) {
	whole := runJSON(t, "", "--prompt", "Once upon a time", "-n", "40")
	first, second := whole.Text[9:17], whole.Text[25:33]
	for _, flags := range [][]string{{"--stop", first}, {"--stop", "never,ever", "--stop", first}, {"--stop", second, "--stop", first}, {"--stop", first, "--stop", ""}} {
		got := runJSON(t, "", append([]string{"--prompt", "Once upon a time", "-n", "40"}, flags...)...)
		if want := whole.Text[:strings.Index(whole.Text, first)]; got.Text != want || got.FinishReason != runtime.FinishStop {
			t.Errorf("%q: %+v, want %q of %q", flags, got, want, whole.Text)
		}
	}
}

func TestRunInvalidUTF8(t *testing.T) {
	prompt := "caf\xc3\xa9 \xff\xfe\x80 \xe2\x82"
	a := runJSON(t, prompt, "-n", "8")
	var words []string
	for _, id := range a.PromptIDs {
		text, _ := json.Marshal(id)
		words = append(words, string(text))
	}
	if got := succeeds(t, strings.Join(words, " "), "tokenize", draftInt8, "--decode"); got != prompt {
		t.Errorf("prompt %q was read as %q", prompt, got)
	}
	if got := runJSON(t, "", "-n", "8", "--prompt", prompt); !slices.Equal(got.IDs, a.IDs) {
		t.Error("the flag and standard input differ")
	}
}

// TestRunSpeedNeverChangesTheText runs one prompt with other threads and kernels, more than there are
// cores included.
func TestRunSpeedNeverChangesTheText(t *testing.T) {
	args := []string{"run", draftInt8, "--prompt", "The wolf", "-n", "24", "--temp", "1", "--seed", "9"}
	want := succeeds(t, "", args...)
	for _, threads := range []string{"0", "1", "2", "3", "64"} {
		if got := succeeds(t, "", append(args, "--threads", threads)...); got != want {
			t.Errorf("--threads %s gives %q, want %q", threads, got, want)
		}
	}
	t.Setenv("TTI_KERNELS", "go")
	if got := succeeds(t, "", args...); got != want {
		t.Errorf("plain Go gives %q, want %q", got, want)
	}
}

func TestRunKV(t *testing.T) {
	for _, kv := range []string{"f32", "f16", "int8"} {
		if got := runJSON(t, "", "--prompt", "The wolf", "-n", "8", "--kv", kv); len(got.IDs) != 8 {
			t.Errorf("--kv %s: %+v", kv, got)
		}
	}
}

func TestRunStats(t *testing.T) {
	o := tti(t, "", "run", draftInt8, "--prompt", "The wolf", "-n", "8", "--temp", "0", "--stats")
	if plain := succeeds(t, "", "run", draftInt8, "--prompt", "The wolf", "-n", "8", "--temp", "0"); o.stdout != plain || o.code != 0 {
		t.Errorf("with --stats the text is %q, without %q", o.stdout, plain)
	}
	if strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, "8 new tokens") || !strings.Contains(o.stderr, "length") {
		t.Errorf("statistics are %q", o.stderr)
	}
}

func TestRunFillsTheContext(t *testing.T) {
	a := runJSON(t, "", "--prompt", "The wolf", "-n", "100000", "--ignore-eos")
	// The last token needs no position of its own.
	if len(a.PromptIDs)+len(a.IDs) != 513 || a.FinishReason != runtime.FinishContext {
		t.Errorf("%d tokens after %d, finished by %s", len(a.IDs), len(a.PromptIDs), a.FinishReason)
	}
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, flags := range [][]string{{"--json"}, {"--json", "--stream"}} {
		var stdout, stderr bytes.Buffer
		code := run(ctx, append([]string{"run", draftInt8, "--prompt", "The wolf"}, flags...), strings.NewReader(""), &stdout, &stderr)
		var a answer
		decodeStrictly(t, stdout.String(), &a)
		if code != 130 || stderr.String() != "tti: interrupted\n" || a.FinishReason != runtime.FinishCancelled || len(a.IDs) != 0 {
			t.Errorf("%v: exit code %d, standard error %q, answer %+v", flags, code, stderr.String(), a)
		}
	}
}

// TestRunPenalties takes what a float32 can be multiplied and divided by at full precision, and no more.
func TestRunPenalties(t *testing.T) {
	for text, want := range map[string]bool{
		"1": true, "1.1": true, "0x1p-126": true, "3.4e38": true, "0": false, "-0": false, "1e-45": false, "1e-46": false, "3.5e38": false, "1e-400": false,
	} {
		penalty := newRunFlags().draw.penalty
		if err := penalty.Set(text); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
