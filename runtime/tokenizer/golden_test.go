package tokenizer_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

const (
	fable = "../../testdata/fable"
	gpt2  = "../../testdata/golden/gpt2-vocab"
)

func define(t testing.TB, directory string) vocabulary.Definition {
	t.Helper()
	d, _, err := bpe.Load(os.DirFS(directory), bpe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func build(t testing.TB, d vocabulary.Definition) *tokenizer.Tokenizer {
	t.Helper()
	section, err := vocabulary.Build(d)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(section)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func load(t testing.TB, directory string) *tokenizer.Tokenizer {
	t.Helper()
	return build(t, define(t, directory))
}

// goldenCase is a line of a file of references.
type goldenCase struct {
	Text string
	IDs  []int32
}

// readCases returns the cases of a file with one JSON object on each line, of which there must be so many at least.
func readCases(t testing.TB, path string, least int) []goldenCase {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cases []goldenCase
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c goldenCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(cases) < least {
		t.Fatalf("%s: only %d cases", path, len(cases))
	}
	return cases
}

// The references come from an independent implementation: testdata/golden/README.md.
func TestGolden(t *testing.T) {
	for _, model := range []struct{ name, directory, cases string }{
		{"fable", fable, "../../testdata/golden/fable-cases.jsonl"},
		{"gpt2", gpt2, gpt2 + "/cases.jsonl"},
	} {
		t.Run(model.name, func(t *testing.T) {
			tok := load(t, model.directory)
			for _, want := range readCases(t, model.cases, 200) {
				got, err := tok.Encode(want.Text)
				if err != nil || !slices.Equal(got, want.IDs) {
					t.Errorf("encode %q: %v, %v, want %v", want.Text, got, err, want.IDs)
				}
				text, err := tok.Decode(want.IDs)
				if err != nil || text != want.Text {
					t.Errorf("decode %v: %q, %v, want %q", want.IDs, text, err, want.Text)
				}
			}
		})
	}
}
