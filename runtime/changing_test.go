package runtime_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/tti-llm/tti/runtime/tokenizer"
)

// changedFile opens a copy of a model's file, which change then writes to or cuts.
func changedFile(t *testing.T, change func(path string, size int64) error) *runtime.Model {
	t.Helper()
	if goruntime.GOOS == "windows" {
		t.Skip("a mapped file cannot be changed here")
	}
	whole, err := os.ReadFile(modelFile(t, "fable-draft", int4))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "changed.tti")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	m := open(t, path, runtime.WithThreads(runtime.NewThreads(2)))
	if err := change(path, int64(len(whole))); err != nil {
		t.Fatal(err)
	}
	return m
}

// readTokenizer calls everything that reads the tokenizer's section, and a generation.
func readTokenizer(m *runtime.Model) []error {
	_, encoded := m.Tokenizer().Encode("Once upon a time " + strings.Repeat("abc", 100))
	_, special := m.Tokenizer().EncodeSpecial("<|endoftext|>abc")
	_, decoded := m.Tokenizer().Decode([]int32{5, 300, 1000})
	_, streamed := m.Tokenizer().NewStream().Next(300)
	errs := []error{encoded, special, decoded, streamed}
	g, err := m.NewGeneration([]int32{0})
	if err == nil {
		_, err = g.Accept(300)
	}
	errs = append(errs, err)
	for _, err := range m.Generate(context.Background(), tale(5), runtime.Sampling{}, runtime.MaxTokens(5)) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func TestTokenizerOfTruncatedFile(t *testing.T) {
	m := changedFile(t, func(path string, _ int64) error { return os.Truncate(path, 0) })
	errs := readTokenizer(m)
	if len(errs) < 6 {
		t.Errorf("a text is generated: %v", errs)
	}
	for i, err := range errs {
		if path := m.File().Path(); !errors.Is(err, runtime.ErrTruncated) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("call %d: %v, want ErrTruncated and the path once", i, err)
		}
	}
}

// TestModelOfOverwrittenFile fills the file with noise, parts of it or all.
func TestModelOfOverwrittenFile(t *testing.T) {
	random := rand.New(rand.NewPCG(43, 47))
	for round := range 20 {
		m := changedFile(t, func(path string, size int64) error {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer file.Close()
			noise := make([]byte, size)
			for i := range noise {
				noise[i] = byte(random.Uint32())
			}
			if start := random.Int64N(size); round%2 == 1 {
				noise = noise[start:]
			}
			_, err = file.WriteAt(noise, size-int64(len(noise)))
			return err
		})
		for i, err := range readTokenizer(m) {
			if err != nil && !errors.Is(err, runtime.ErrCorrupt) && !errors.Is(err, runtime.ErrNotANumber) {
				t.Errorf("round %d, call %d: %v", round, i, err)
			}
		}
	}
}

// TestForgottenModelKeepsItsTokenizer uses a tokenizer whose model nobody else knows any more.
func TestForgottenModelKeepsItsTokenizer(t *testing.T) {
	tok := func() *tokenizer.Tokenizer {
		m, err := runtime.Open(modelFile(t, "fable-draft", int4))
		if err != nil {
			t.Fatal(err)
		}
		return m.Tokenizer()
	}()
	for range 5 {
		goruntime.GC()
		if _, err := tok.Encode("Once upon a time"); err != nil {
			t.Fatal(err)
		}
	}
}
