package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// TestSameEveryTime generates twice in one process: nothing may be left over from the first time.
func TestSameEveryTime(t *testing.T) {
	once := func() string {
		file, folder := amd64.NewFile("rows"), t.TempDir()
		generate(file)
		if err := file.Write(folder); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(folder, "rows_amd64.s"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if first := once(); once() != first {
		t.Error("the second time gives something else")
	}
}

// TestValueTiles: the tiles are listed by names, which must be those of the encodings.
func TestValueTiles(t *testing.T) {
	for _, m := range machines {
		for _, c := range caches {
			if len(m.valueTiles[c.name]) == 0 {
				t.Errorf("%s: no tiles of values in %s", m.machine.Name, c.name)
			}
		}
		if len(m.valueTiles) != len(caches) {
			t.Errorf("%s: tiles of values in %d encodings, of which there are %d", m.machine.Name, len(m.valueTiles), len(caches))
		}
	}
}
