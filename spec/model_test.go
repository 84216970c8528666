package spec

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/converttest"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/runtime"
)

var (
	f32     = convert.Options{Mode: convert.F32}
	int8    = convert.Options{Mode: convert.Int8}
	int4    = convert.Options{Mode: convert.Int4}
	int4All = convert.Options{Mode: convert.Int4, Int4: convert.All}
)

// files are the models that the tests share.
var files converttest.Files

// models holds every model that a test has asked for, open until all tests are through.
var models struct {
	sync.Mutex
	open map[modelKey]*runtime.Model
}

type modelKey struct {
	source string
	mode   convert.Mode
	int4   convert.Scope
}

func TestMain(m *testing.M) {
	os.Exit(files.Run(func() int {
		models.open = map[modelKey]*runtime.Model{}
		defer func() {
			for _, model := range models.open {
				model.Close()
			}
		}()
		return m.Run()
	}))
}

// model returns a model of testdata, or one that random makes, in the given mode.
func model(t testing.TB, source string, o convert.Options) *runtime.Model {
	t.Helper()
	models.Lock()
	defer models.Unlock()
	key := modelKey{source, o.Mode, o.Int4}
	if m := models.open[key]; m != nil {
		return m
	}
	directory := filepath.Join("..", "testdata", source)
	if positions, ok := randomModels[source]; ok {
		directory = random(t, source, positions)
	}
	m, err := runtime.Open(files.Path(t, directory, o), runtime.WithThreads(runtime.NewThreads(1)))
	if err != nil {
		t.Fatal(err)
	}
	models.open[key] = m
	return m
}

// randomModels are models with random weights and, but for random-other, the vocabulary of the
// fable models, by name, with their numbers of positions.
var randomModels = map[string]int{"random": 512, "random-short": 48, "random-other": 48}

func random(t testing.TB, name string, positions int) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(directory, 0o777); err != nil {
		t.Fatal(err)
	}
	shape := synthetic.Model{Vocabulary: 2048, Context: positions, Embedding: 64, Layers: 2, Heads: 2, Seed: 3}
	if err := synthetic.Write(context.Background(), directory, shape); err != nil {
		t.Fatal(err)
	}
	if name == "random-other" {
		return directory
	}
	for _, file := range []string{"vocab.json", "merges.txt"} {
		data, err := os.ReadFile(filepath.Join("..", "testdata", "fable", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(directory, file), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func drafter(t testing.TB, draft, target *runtime.Model) *Model {
	t.Helper()
	d, err := NewModel(draft, target)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decoder(t testing.TB, target *runtime.Model, drafters ...Drafter) *Decoder {
	t.Helper()
	d := New(target, drafters...)
	t.Cleanup(d.Close)
	return d
}

func encode(t testing.TB, m *runtime.Model, text string) []int32 {
	t.Helper()
	ids, err := m.Tokenizer().Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func prompts(t testing.TB) []string {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "prompts.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if line := scanner.Text(); !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
