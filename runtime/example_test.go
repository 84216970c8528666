package runtime_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
)

// besideFable makes fable-int4.tti in a new directory and goes there; the result goes back.
func besideFable() func() {
	source, err := filepath.Abs("../testdata/fable")
	if err != nil {
		log.Fatal(err)
	}
	home, err := os.Getwd()
	if err != nil {
		log.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "tti")
	if err != nil {
		log.Fatal(err)
	}
	if err := convert.Convert(context.Background(), source, filepath.Join(folder, "fable-int4.tti"), convert.Options{Mode: convert.Int4}); err != nil {
		log.Fatal(err)
	}
	if err := os.Chdir(folder); err != nil {
		log.Fatal(err)
	}
	return func() {
		if err := os.Chdir(home); err != nil {
			log.Fatal(err)
		}
		os.RemoveAll(folder)
	}
}

// The same file, prompt and seed give this text on every machine.
func ExampleModel_Generate() {
	defer besideFable()()

	m, err := runtime.Open("fable-int4.tti")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	prompt, err := m.Tokenizer().EncodePrompt("Once upon a time")
	if err != nil {
		log.Fatal(err)
	}
	sampling := runtime.Sampling{Temperature: 0.7, TopP: 0.9, Seed: 3}
	for token, err := range m.Generate(context.Background(), prompt, sampling, runtime.MaxTokens(24)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(token.Text)
	}
	// Output: there lived a king who had a servant who was so long ago, and who was so beautiful and father. So
}

// A Session is the level below: tokens in, logits out. Positions can be taken back, and what is
// run there again has the same logits to the last bit.
func ExampleSession() {
	defer besideFable()()

	m, err := runtime.Open("fable-int4.tti", runtime.WithThreads(runtime.NewThreads(1)))
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	ids, err := m.Tokenizer().EncodePrompt("Once upon a time")
	if err != nil {
		log.Fatal(err)
	}
	s := m.NewSession()
	defer s.Close()
	logits, err := s.Append(ids)
	if err != nil {
		log.Fatal(err)
	}
	first := logits[ids[0]] // the slice is the session's own
	s.Truncate(1)
	if logits, err = s.Append(ids[1:]); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(logits) == m.Shape().Vocabulary, s.Len() == len(ids), logits[ids[0]] == first)
	// Output: true true true
}

// TestREADME: the code that README.md shows is that of the example above.
func TestREADME(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(source), "func ExampleModel_Generate() {\n\tdefer besideFable()()\n\n")
	body, _, found := strings.Cut(body, "\t// Output:")
	body = strings.ReplaceAll("\n"+body, "\n\t", "\n")[1:]
	if block := "<!-- example: runtime.Model.Generate -->\n\n```go\n" + body + "```\n\n<!-- end -->\n"; !found || !strings.Contains(string(readme), block) {
		t.Errorf("README.md does not show the example:\n%s", block)
	}
}
