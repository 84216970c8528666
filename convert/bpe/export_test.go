package bpe_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format/vocabulary"
)

// exports writes a definition as files and loads it from them.
func exports(t *testing.T, d vocabulary.Definition, o bpe.Options) {
	t.Helper()
	o.Size = len(d.Tokens)
	files, err := bpe.Export(d, o, 1024)
	if err != nil {
		t.Fatal(err)
	}
	directory := fstest.MapFS{}
	for name, contents := range files {
		directory[name] = &fstest.MapFile{Data: contents}
	}
	if again, _ := load(t, directory, o); !reflect.DeepEqual(again, d) {
		t.Errorf("loaded again: added %v, end of text %d, %d tokens, %d merges; want %v, %d, %d, %d",
			again.Added, again.End, len(again.Tokens), len(again.Merges), d.Added, d.End, len(d.Tokens), len(d.Merges))
	}
}

// TestExportPublished gives back GPT-2's own files: the same tokens and ids, and merges.txt to the byte.
func TestExportPublished(t *testing.T) {
	d, _ := load(t, os.DirFS(gpt2), bpe.Options{Size: 50257})
	exports(t, d, bpe.Options{})
	files, err := bpe.Export(d, bpe.Options{}, 1024)
	if err != nil {
		t.Fatal(err)
	}
	merges, err := os.ReadFile(gpt2 + "/merges.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(files["merges.txt"]) != string(merges) {
		t.Error("merges.txt differs from the published one")
	}
}

func TestExportRefuses(t *testing.T) {
	d, _ := load(t, small().directory(t), bpe.Options{Size: 260})
	d.Tokens = append(d.Tokens, "Ġt") // as token 256, " t", is written
	d.Added = append(d.Added, vocabulary.Added{ID: 260})
	_, err := bpe.Export(d, bpe.Options{}, 8)
	if want := `vocab.json: tokens 256 (" t") and 260 ("Ġt") are both written "Ġt"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
