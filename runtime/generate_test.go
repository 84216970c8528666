package runtime_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/tti-llm/tti/convert"
)

// story generates greedily from a prompt and returns ids, text and outcome.
func story(t *testing.T, m *runtime.Model, prompt string, sampling runtime.Sampling, options ...runtime.GenerateOption) ([]int32, string, runtime.Outcome) {
	t.Helper()
	ids, err := m.Tokenizer().Encode(prompt)
	if err != nil {
		t.Fatal(err)
	}
	var (
		outcome runtime.Outcome
		out     []int32
		text    strings.Builder
	)
	for token, err := range m.Generate(context.Background(), ids, sampling, append(options, runtime.Report(&outcome))...) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, token.ID)
		text.WriteString(token.Text)
	}
	return out, text.String(), outcome
}

func TestGenerateMatchesReference(t *testing.T) {
	g := loadGolden(t, "fable")
	m := open(t, modelFile(t, "fable", convert.Options{Mode: convert.F32}))
	for _, c := range g.Cases {
		if slices.Min(c.GreedyGap) < 4e-3 {
			continue
		}
		ids, text, outcome := story(t, m, c.Prompt, runtime.Sampling{}, runtime.MaxTokens(len(c.GreedyIDs)))
		if !equalIDs(ids, c.GreedyIDs) || text != c.GreedyText {
			t.Errorf("%q continues %q, want %q", c.Prompt, text, c.GreedyText)
		}
		if outcome.Finish != runtime.FinishLength || outcome.Tokens != len(ids) || outcome.PromptTokens != len(c.IDs) {
			t.Errorf("outcome %+v", outcome)
		}
	}
}

func TestStopStrings(t *testing.T) {
	m := open(t, modelFile(t, "fable", int4))
	_, whole, _ := story(t, m, "Once upon a time", runtime.Sampling{}, runtime.MaxTokens(40))
	for _, stop := range []string{whole[20:21], whole[10:17], "the", ".", whole[len(whole)-3:]} {
		_, text, outcome := story(t, m, "Once upon a time", runtime.Sampling{}, runtime.MaxTokens(40), runtime.Stop("never in a tale", "", stop))
		if want, _, _ := strings.Cut(whole, stop); text != want || outcome.Finish != runtime.FinishStop && strings.Contains(whole, stop) {
			t.Errorf("stop at %q: %q (%s), want %q", stop, text, outcome.Finish, want)
		}
	}
	if _, text, outcome := story(t, m, "Once upon a time", runtime.Sampling{}, runtime.MaxTokens(40), runtime.Stop(whole+"!")); text != whole || outcome.Finish != runtime.FinishLength {
		t.Errorf("a stop string that never comes: %q (%s)", text, outcome.Finish)
	}
}

func TestGenerationEnds(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4))
	full := m.Shape().Context
	for _, c := range []struct {
		prompt, limit, want int
		finish              runtime.FinishReason
	}{
		{5, 0, 0, runtime.FinishLength}, {5, 1, 1, runtime.FinishLength}, {full - 2, 3, 3, runtime.FinishLength},
		{full - 2, 100, 3, runtime.FinishContext}, {full, 100, 1, runtime.FinishContext},
	} {
		var outcome runtime.Outcome
		count := 0
		for _, err := range m.Generate(context.Background(), tale(c.prompt), runtime.Sampling{}, runtime.MaxTokens(c.limit), runtime.IgnoreEOS(), runtime.Report(&outcome)) {
			if err != nil {
				t.Fatal(err)
			}
			count++
		}
		if count != c.want || outcome.Finish != c.finish {
			t.Errorf("prompt of %d, at most %d: %d tokens (%s), want %d (%s)", c.prompt, c.limit, count, outcome.Finish, c.want, c.finish)
		}
	}
	for _, c := range []struct {
		prompt []int32
		want   error
	}{{tale(full + 1), runtime.ErrContextFull}, {nil, runtime.ErrEmpty}, {[]int32{-1}, runtime.ErrToken}} {
		for _, err := range m.Generate(context.Background(), c.prompt, runtime.Sampling{}) {
			if !errors.Is(err, c.want) {
				t.Errorf("prompt of %d: %v, want %v", len(c.prompt), err, c.want)
			}
		}
	}
}

// TestEOS makes the end-of-text token the only one that can be drawn.
func TestEOS(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4))
	end := m.Shape().EOS
	g, err := m.NewGeneration([]int32{0}, runtime.MaxTokens(10))
	if err != nil {
		t.Fatal(err)
	}
	if token, err := g.Accept(5); err != nil || g.Done() || token.ID != 5 {
		t.Errorf("token %+v ends the text: %v", token, err)
	}
	if token, err := g.Accept(end); err != nil || !g.Done() || token.Text != "" || g.Outcome().Finish != runtime.FinishStop {
		t.Errorf("the end-of-text token %+v: %+v", token, g.Outcome())
	}
	g, err = m.NewGeneration([]int32{0}, runtime.MaxTokens(10), runtime.IgnoreEOS())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Accept(end); err != nil || g.Done() {
		t.Errorf("an ignored end-of-text token ends the text: %v", err)
	}
}

func TestCancellation(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var (
		outcome runtime.Outcome
		count   int
		last    error
	)
	for _, err := range m.Generate(ctx, tale(4), runtime.Sampling{}, runtime.IgnoreEOS(), runtime.Report(&outcome)) {
		if last = err; err == nil {
			if count++; count == 3 {
				cancel()
			}
		}
	}
	if count != 3 || !errors.Is(last, context.Canceled) || outcome.Finish != runtime.FinishCancelled {
		t.Errorf("%d tokens, %v, %s", count, last, outcome.Finish)
	}
}

// TestSessionContinues generates in a session that holds the beginning of its prompt.
func TestSessionContinues(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4))
	prompt := tale(30)
	sampling := runtime.Sampling{Temperature: 0.9, TopP: 0.95, Seed: 3}
	var want []int32
	for token, err := range m.Generate(context.Background(), prompt, sampling, runtime.MaxTokens(12)) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, token.ID)
	}
	for _, held := range []int{1, 29, 30} {
		s := session(t, m)
		if _, err := s.Append(prompt[:held]); err != nil {
			t.Fatal(err)
		}
		var got []int32
		for token, err := range s.Generate(context.Background(), prompt, sampling, runtime.MaxTokens(12)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, token.ID)
		}
		if !equalIDs(got, want) {
			t.Errorf("with %d tokens held: %v, want %v", held, got, want)
		}
	}
}
