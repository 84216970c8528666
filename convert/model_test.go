package convert

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/convert/synthetic"
)

// tiny is a model that converts in a moment and fills no panel exactly.
var tiny = synthetic.Model{Vocabulary: 300, Context: 8, Embedding: 24, Layers: 2, Heads: 2}

// testModel is a model directory in memory, for tests to change before it is written.
type testModel struct {
	config  map[string]any
	tensors map[string]safetensors.TensorView
	files   map[string]string // all others by name; config.json and model.safetensors here win over the above
}

// absent in the place of a file's content leaves the file out.
const absent = "\x00absent"

func newTestModel(t testing.TB, m synthetic.Model) *testModel {
	t.Helper()
	directory := t.TempDir()
	if err := synthetic.Write(t.Context(), directory, m); err != nil {
		t.Fatal(err)
	}
	return readTestModel(t, directory)
}

// readTestModel reads a directory with nothing of the code under test.
func readTestModel(t testing.TB, directory string) *testModel {
	t.Helper()
	m := &testModel{tensors: map[string]safetensors.TensorView{}, files: map[string]string{}}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		switch {
		case err != nil:
		case entry.Name() == configurationFile:
			err = json.Unmarshal(content, &m.config)
		case filepath.Ext(entry.Name()) == ".safetensors":
			var file safetensors.SafeTensors
			file, err = safetensors.Deserialize(content)
			for _, tensor := range file.Tensors() {
				m.tensors[tensor.Name] = tensor.TensorView
			}
		default:
			m.files[entry.Name()] = string(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// write writes the model to a new directory.
func (m *testModel) write(t testing.TB) string {
	t.Helper()
	config, err := json.Marshal(m.config)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := safetensors.Serialize(m.tensors, map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{configurationFile: string(config), weightsFile: string(weights)}
	maps.Copy(files, m.files)
	directory := t.TempDir()
	for name, content := range files {
		if content == absent {
			continue
		}
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// set replaces or adds a tensor.
func (m *testModel) set(t testing.TB, name string, dtype safetensors.DType, shape []uint64, data []byte) {
	t.Helper()
	view, err := safetensors.NewTensorView(dtype, shape, data)
	if err != nil {
		t.Fatal(err)
	}
	m.tensors[name] = view
}

// reshape gives a tensor another shape, with zeros for data.
func (m *testModel) reshape(t testing.TB, name string, shape ...uint64) {
	t.Helper()
	size := m.tensors[name].DType().Size()
	for _, n := range shape {
		size *= n
	}
	m.set(t, name, m.tensors[name].DType(), shape, make([]byte, size))
}

// put overwrites one element of a tensor.
func (m *testModel) put(t testing.TB, name string, at int, element ...byte) {
	t.Helper()
	view := m.tensors[name]
	data := slices.Clone(view.Data())
	copy(data[at*len(element):], element)
	m.set(t, name, view.DType(), view.Shape(), data)
}

// values returns a tensor's values.
func (m *testModel) values(name string) []float32 {
	view := m.tensors[name]
	values := make([]float32, view.DataLen()/view.DType().Size())
	for i := range values {
		values[i] = value(tensor{dtype: view.DType(), data: view.Data()}, i)
	}
	return values
}
