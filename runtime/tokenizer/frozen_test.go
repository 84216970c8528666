package tokenizer_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

var writeFrozen = flag.Bool("write-version1", false, "write missing sections of testdata/version1.1; never changes one that is there")

// TestFrozenSections opens tokenizer sections of version 2 that never change any more: they give the ids that the reference
// gave for the tokenizers they were made of.
func TestFrozenSections(t *testing.T) {
	for _, name := range []string{"llama3", "qwen", "gemma", "llama2-unk", "metaspace-always", "deepseek", "o200k", "smollm"} {
		source, path := "../../testdata/tokenizers/small/"+name, "../../testdata/version1.1/tokenizer-"+name+".section"
		if _, err := os.Stat(path); *writeFrozen && errors.Is(err, fs.ErrNotExist) {
			section, err := vocabulary.Build(define(t, source))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, section, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		section, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.New(section)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, c := range readCases(t, source+"/cases.jsonl", 300) {
			if got, err := tok.EncodeSpecial(c.Text); err != nil || !slices.Equal(got, c.IDs) {
				t.Errorf("%s: %+q: %v (%v), want %v", name, c.Text, got, err, c.IDs)
			}
		}
	}
}
