package tokenizer_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/tti-llm/tti/convert/bpe"
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
			d, _, err := bpe.Load(os.DirFS(source), bpe.Options{})
			if err != nil {
				t.Fatal(err)
			}
			section, err := vocabulary.Build(d)
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
		cases, err := os.Open(source + "/cases.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		defer cases.Close()
		count := 0
		lines := bufio.NewScanner(cases)
		lines.Buffer(nil, 1<<20)
		for ; lines.Scan(); count++ {
			var c struct {
				Text string
				IDs  []int32
			}
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			if got, err := tok.EncodeSpecial(c.Text); err != nil || !slices.Equal(got, c.IDs) {
				t.Errorf("%s: %+q: %v (%v), want %v", name, c.Text, got, err, c.IDs)
			}
		}
		if count < 300 {
			t.Errorf("%s: only %d cases", name, count)
		}
	}
}
