package cached

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format"
)

// TestSynthetic makes a small model once, and once more when its file is damaged.
func TestFile(t *testing.T) {
	synthetic.Models["tiny"] = synthetic.Model{Vocabulary: 300, Context: 40, Embedding: 64, Layers: 1, Heads: 2}
	defer delete(synthetic.Models, "tiny")
	folder := filepath.Join(t.TempDir(), "made", "on demand")
	options := convert.Options{Mode: convert.Int8, NoSync: true}
	make := func() (string, os.FileInfo) {
		t.Helper()
		path, err := File(t.Context(), folder, "tiny", options)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, info
	}
	path, first := make()
	if _, second := make(); !os.SameFile(first, second) {
		t.Error("a model that was there was made again")
	}
	contents, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	contents[len(contents)-1] ^= 1
	if err := os.WriteFile(path, contents, 0o666); err != nil {
		t.Fatal(err)
	}
	make()
	file, err := format.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
	if _, err := File(t.Context(), folder, "huge", options); err == nil {
		t.Error("a model of unknown size was made")
	}
}
