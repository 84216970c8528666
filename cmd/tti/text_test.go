package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenizeMatchesReference(t *testing.T) {
	file, err := os.Open("../../testdata/golden/fable-cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	count := 0
	for ; lines.Scan(); count++ {
		var c struct {
			Text string  `json:"text"`
			IDs  []int32 `json:"ids"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		want := strings.Trim(fmt.Sprint(c.IDs), "[]") + "\n"
		if got := succeeds(t, c.Text, "tokenize", draftInt8); got != want {
			t.Errorf("%q is %q, want %q", c.Text, got, want)
		}
		if got := succeeds(t, want, "tokenize", draftInt8, "--decode", "-"); got != c.Text {
			t.Errorf("%q comes back as %q", c.Text, got)
		}
	}
	if count < 100 || lines.Err() != nil {
		t.Errorf("%d cases read, then %v", count, lines.Err())
	}
}

func TestTokenizeArguments(t *testing.T) {
	want := succeeds(t, "The wolf", "tokenize", draftInt8)
	for _, args := range [][]string{{"The wolf"}, {"--special", "The wolf"}, {"--", "The wolf"}} {
		if got := succeeds(t, "ignored", append([]string{"tokenize", draftInt8}, args...)...); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	if got := succeeds(t, "", "tokenize", draftInt8, "--special", "<|endoftext|>"); got != "2047\n" {
		t.Errorf("the control token is %q", got)
	}
}

// TestEvalMatchesReference compares with an independent implementation in float64.
func TestEvalMatchesReference(t *testing.T) {
	text, err := os.ReadFile("../../testdata/golden/fable-draft.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Eval struct {
			Tokens     int     `json:"tokens"`
			Scored     int     `json:"scored"`
			NLL        float64 `json:"nll_mean"`
			Perplexity float64 `json:"perplexity"`
		} `json:"eval"`
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	want := golden.Eval
	output := succeeds(t, "", "eval", draftF32, "--text", "../../testdata/golden/fable-eval.txt", "--json")
	hasKeys(t, output, "model", "tokens", "scored", "nll", "perplexity", "kv", "kv_bytes")
	var got evaluation
	decodeStrictly(t, output, &got)
	if got.Model != draftF32 || got.Tokens != want.Tokens || got.Scored != want.Scored ||
		math.Abs(got.Perplexity/want.Perplexity-1) > 1e-4 || math.Abs(got.NLL-want.NLL) > 1e-4 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEvalText(t *testing.T) {
	output := succeeds(t, "The wolf and the fox went into the forest.", "eval", draftInt8, "--text", "-", "--kv", "f32", "--threads", "1")
	for _, want := range []string{"tokens ", "scored ", "nll ", "perplexity "} {
		if !strings.Contains(output, want) {
			t.Errorf("output lacks %q: %q", want, output)
		}
	}
}

// TestEvalCompare compares in both directions, and with itself.
func TestEvalCompare(t *testing.T) {
	text := "../../testdata/golden/fable-eval.txt"
	story := filepath.Join(t.TempDir(), "story.txt")
	contents, err := os.ReadFile(text)
	if err == nil {
		err = os.WriteFile(story, contents[:6000], 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	compare := func(model, reference string) evaluation {
		var e evaluation
		decodeStrictly(t, succeeds(t, "", "eval", model, "--text", story, "--compare", reference, "--json"), &e)
		return e
	}
	there, back, same := compare(draftInt8, draftF32), compare(draftF32, draftInt8), compare(draftF32, draftF32)
	if c := same.Compare; c.Divergence != 0 || c.Agreement != 1 || c.Rise != 0 || c.Perplexity != same.Perplexity {
		t.Errorf("with itself: %+v", c)
	}
	a, b := there.Compare, back.Compare
	if !(a.Divergence > 0 && a.Divergence < 0.01 && a.Agreement > 0.9) || a.Agreement != b.Agreement || a.Perplexity != back.Perplexity || b.Perplexity != there.Perplexity {
		t.Errorf("there %+v, back %+v", a, b)
	}
	if len(a.Worst) != 10 || a.Worst[0].Divergence < a.Worst[9].Divergence || !strings.Contains(string(contents), a.Worst[0].Before+a.Worst[0].Text) {
		t.Errorf("worst %+v", a.Worst)
	}
	output := succeeds(t, "", "eval", draftInt8, "--text", story, "--compare", draftF32)
	for _, want := range []string{"rise", "mean KL divergence", "top-1 agreement", "position"} {
		if !strings.Contains(output, want) {
			t.Errorf("output lacks %q:\n%s", want, output)
		}
	}
	refuses(t, 1, "compare with .*tiny-f32.tti: models do not match", "eval", draftInt8, "--text", story, "--compare", "../../testdata/version1/tiny-f32.tti")
	refuses(t, 1, "missing.tti", "eval", draftInt8, "--text", story, "--compare", "missing.tti")
}
