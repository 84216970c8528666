package synthetic

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

var tiny = Model{Vocabulary: 300, Context: 8, Embedding: 16, Layers: 2, Heads: 2}

func write(t *testing.T, m Model) string {
	t.Helper()
	directory := t.TempDir()
	if err := Write(t.Context(), directory, m); err != nil {
		t.Fatal(err)
	}
	return directory
}

// The library's own reader, which insists on exact offsets, must accept what is written here.
func TestSafetensors(t *testing.T) {
	variants := []Model{tiny, tiny, tiny}
	variants[1].Type, variants[1].Prefix = "F16", "transformer."
	variants[2].Type, variants[2].Untied = "BF16", true
	for _, m := range variants {
		content, err := os.ReadFile(filepath.Join(write(t, m), "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		file, err := safetensors.Deserialize(content)
		if err != nil {
			t.Fatal(err)
		}
		if file.Len() != len(m.tensors()) {
			t.Errorf("%d tensors, want %d", file.Len(), len(m.tensors()))
		}
		wte, ok := file.Tensor(m.Prefix + "wte.weight")
		if !ok || wte.Shape()[0] != 300 || wte.Shape()[1] != 16 {
			t.Errorf("wte.weight: %v %v", ok, wte.Shape())
		}
	}
}

func TestSameModelSameBytes(t *testing.T) {
	sharded := tiny
	sharded.Shards = 3
	for _, m := range []Model{tiny, sharded} {
		a, b := write(t, m), write(t, m)
		files, err := filepath.Glob(filepath.Join(a, "*"))
		if err != nil || len(files) != 4+m.Shards {
			t.Fatalf("files %v, error %v", files, err)
		}
		for _, file := range files {
			first, err1 := os.ReadFile(file)
			second, err2 := os.ReadFile(filepath.Join(b, filepath.Base(file)))
			if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
				t.Errorf("%s differs", filepath.Base(file))
			}
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	for _, m := range []Model{{}, {Vocabulary: 256, Context: 1, Embedding: 1, Layers: 1, Heads: 1}, {Vocabulary: 300, Context: 1, Embedding: 3, Layers: 1, Heads: 2}} {
		if Write(t.Context(), t.TempDir(), m) == nil {
			t.Errorf("%+v was written", m)
		}
	}
}
