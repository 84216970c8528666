package runtime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/runtime"
)

// TestErrorsNameThePathOnce refuses files of all kinds.
func TestErrorsNameThePathOnce(t *testing.T) {
	whole, err := os.ReadFile(modelFile(t, "fable-draft", int4))
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	foreign := []byte(strings.Repeat("no container ", 100))
	for name, c := range map[string]struct {
		contents []byte
		want     error
	}{
		"missing":   {nil, os.ErrNotExist},
		"foreign":   {foreign, runtime.ErrNotTTI},
		"truncated": {whole[:len(whole)-100], runtime.ErrTruncated},
		"flipped":   {flipped, runtime.ErrChecksum},
	} {
		path := filepath.Join(t.TempDir(), name+".tti")
		if c.contents != nil {
			if err := os.WriteFile(path, c.contents, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := runtime.Open(path)
		if !errors.Is(err, c.want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v, want %v and the path once", name, err, c.want)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runtime.OpenContext(cancelled, modelFile(t, "fable-draft", int4)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestOptionsThatMakeNoSense are refused, and nil ones do no harm.
func TestOptionsThatMakeNoSense(t *testing.T) {
	path := modelFile(t, "fable-draft", int4)
	for name, option := range map[string]runtime.Option{
		"KV": runtime.WithKV(7), "limit": runtime.WithKVLimit(-1), "threads": runtime.WithThreads(runtime.NewThreads(-2)),
	} {
		if _, err := runtime.Open(path, option); !errors.Is(err, runtime.ErrOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := open(t, path, nil, runtime.WithThreads(nil))
	for _, err := range m.Generate(t.Context(), tale(3), runtime.Sampling{}, runtime.MaxTokens(-5)) {
		if !errors.Is(err, runtime.ErrOption) {
			t.Errorf("-5 tokens: %v", err)
		}
	}
	for _, err := range m.Generate(t.Context(), tale(3), runtime.Sampling{}, runtime.MaxTokens(1), runtime.Report(nil), nil) {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := m.NewSampler(runtime.Sampling{TopP: 2}); !errors.Is(err, runtime.ErrOption) {
		t.Errorf("top-p 2: %v", err)
	}
}

// TestSamplingFollowsTheModel draws on the model's kernels, whatever the environment says afterwards.
func TestSamplingFollowsTheModel(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4), runtime.WithKernels("go"))
	t.Setenv(kernels.Environment, "no such kernels")
	if _, err := m.NewSampler(runtime.Sampling{}); err != nil {
		t.Error(err)
	}
	for _, err := range m.Generate(t.Context(), tale(3), runtime.Sampling{Temperature: 1}, runtime.MaxTokens(2)) {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestGenerateInAnotherText generates in a session that holds other tokens than the prompt: what both begin with is
// kept, the rest forgotten.
func TestGenerateInAnotherText(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", convert.Options{Mode: convert.Int8}))
	prompt := tale(30)
	generate := func(s *runtime.Session) (ids []int32) {
		for token, err := range s.Generate(t.Context(), prompt, runtime.Sampling{Temperature: 0.9, Seed: 8}, runtime.MaxTokens(12)) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, token.ID)
		}
		return ids
	}
	fresh := session(t, m)
	want := generate(fresh)
	if held := append(slices.Clone(prompt), want[:11]...); !slices.Equal(fresh.Tokens(), held) {
		t.Errorf("the session holds %v, want %v", fresh.Tokens(), held)
	}
	for _, common := range []int{0, 1, 17, 30} {
		s := session(t, m)
		if _, err := s.Append(append(slices.Clone(prompt[:common]), 1, 2, 3, 4, 5)); err != nil {
			t.Fatal(err)
		}
		if got := s.Common(prompt); got < common {
			t.Errorf("%d tokens in common, want %d", got, common)
		}
		if got := generate(s); !slices.Equal(got, want) {
			t.Errorf("after %d common tokens: %v, want %v", common, got, want)
		}
	}
}
