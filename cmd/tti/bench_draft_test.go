package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBenchDraftJSON(t *testing.T) {
	prompts := filepath.Join(t.TempDir(), "prompts.txt")
	if err := os.WriteFile(prompts, []byte("The wolf\r\n\nOnce upon a time"), 0o666); err != nil {
		t.Fatal(err)
	}
	output := succeeds(t, "", "bench", draftInt8, "--draft", "ngram", "--draft", draftF32, "--prompts", prompts, "-n", "20",
		"--temp", "0.8", "--top-k", "40", "--threads", "1", "--repeats", "1", "--json")
	hasKeys(t, output, "model", "drafts", "threads", "kernels", "prompts", "tokens", "rows", "rows[].name", "rows[].length", "rows[].tok_s",
		"rows[].tok_s_lower_quartile", "rows[].tok_s_upper_quartile", "rows[].speedup", "rows[].acceptance", "rows[].mean_accepted_length",
		"rows[].target_passes_per_token", "costs", "costs.guess", "costs.draw", "costs.passes", "theory")
	var r draftBench
	decodeStrictly(t, output, &r)
	if r.Model != draftInt8 || !slices.Equal(r.Drafts, []string{"ngram", draftF32}) || r.Threads != 1 || r.Kernels == "" || r.Prompts != 2 || r.Tokens != 20 {
		t.Errorf("result %+v", r)
	}
	var names []string
	for _, row := range r.Rows {
		if names = append(names, row.Name); !(row.Rate > 0 && row.Speedup > 0) {
			t.Errorf("row %+v", row)
		}
	}
	if got := strings.Join(names, ", "); got != "baseline, k = 2, k = 4, k = 6, adaptive" {
		t.Errorf("rows %s", got)
	}
}

func TestBenchDraftText(t *testing.T) {
	output := succeeds(t, "", "bench", draftInt8, "--draft", draftF32, "-n", "12", "--threads", "1", "--repeats", "1")
	for _, want := range []string{draftF32, "6 texts of 12 tokens", "speed-up", "baseline", "k = 6", "adaptive", "a guess "} {
		if !strings.Contains(output, want) {
			t.Errorf("output lacks %q:\n%s", want, output)
		}
	}
	succeeds(t, "", "bench", draftInt8, "--draft", "ngram", "-n", "12", "--threads", "1", "--repeats", "1")
}

func TestBenchDraftRefusals(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(empty, []byte("\n\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	bench := []string{"bench", draftInt8, "--draft"}
	refuses(t, 1, `missing\.tti`, append(bench, "missing.tti")...)
	refuses(t, 1, `missing\.txt`, append(bench, "ngram", "--prompts", "missing.txt")...)
	refuses(t, 1, `empty\.txt: no lines`, append(bench, "ngram", "--prompts", empty)...)
	refuses(t, 1, `context`, "bench", randomDraft(t, nil), "--draft", "ngram") // of 24 positions
}
