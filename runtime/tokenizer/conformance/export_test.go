package conformance

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/convert/bpe"
	format "github.com/tti-llm/tti/format/vocabulary"
)

// export writes a section's tokenizer as files of HuggingFace's, from its definition alone, and returns their folder.
func export(t testing.TB, section []byte) string {
	t.Helper()
	view, err := format.Open(section)
	if err != nil {
		t.Fatal(err)
	}
	files, err := bpe.Export(view.Definition(), bpe.Options{Size: view.Tokens()}, 1024)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	for name, contents := range files {
		if err := os.WriteFile(filepath.Join(directory, name), contents, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// TestExport writes every tokenizer out and reads it again: it is the same section.
func TestExport(t *testing.T) {
	for _, v := range vocabularies {
		t.Run(v.name, func(t *testing.T) {
			first := section(t, v.directory(t))
			if !bytes.Equal(section(t, export(t, first)), first) {
				t.Error("the section is another one")
			}
		})
	}
}

// TestExportForOracle lets the reference read what has been written: it says of the cases what it said of the original.
func TestExportForOracle(t *testing.T) {
	if *packages == "" {
		t.Skip("needs -packages: see make conformance")
	}
	for _, v := range vocabularies {
		t.Run(v.name, func(t *testing.T) {
			newOracle(t, export(t, section(t, v.directory(t)))).sayCases(t, v)
		})
	}
}
