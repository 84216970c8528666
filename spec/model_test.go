package spec

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/runtime"
)

var (
	f32     = convert.Options{Mode: convert.F32}
	int8    = convert.Options{Mode: convert.Int8}
	int4    = convert.Options{Mode: convert.Int4}
	int4All = convert.Options{Mode: convert.Int4, Int4: convert.All}
)

// models holds every model that a test has asked for, open until all tests are through.
var models struct {
	sync.Mutex
	folder string
	open   map[string]*runtime.Model
}

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "tti-spec")
	if err != nil {
		panic(err)
	}
	models.folder, models.open = folder, map[string]*runtime.Model{}
	code := m.Run()
	for _, model := range models.open {
		model.Close()
	}
	os.RemoveAll(folder)
	os.Exit(code)
}

// model returns a model of testdata, or one that random makes, in the given mode.
func model(t testing.TB, source string, o convert.Options) *runtime.Model {
	t.Helper()
	models.Lock()
	defer models.Unlock()
	name := fmt.Sprintf("%s-%s-%s.tti", filepath.Base(source), o.Mode, o.Int4)
	if m := models.open[name]; m != nil {
		return m
	}
	directory := filepath.Join("..", "testdata", source)
	if positions, ok := randomModels[source]; ok {
		directory = random(t, source, positions)
	}
	path := filepath.Join(models.folder, name)
	o.NoSync = true
	if err := convert.Convert(context.Background(), directory, path, o); err != nil {
		t.Fatal(err)
	}
	m, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(1)))
	if err != nil {
		t.Fatal(err)
	}
	models.open[name] = m
	return m
}

// randomModels are models with random weights and, but for random-other, the vocabulary of the
// fable models, by name, with their numbers of positions.
var randomModels = map[string]int{"random": 512, "random-short": 48, "random-other": 48}

func random(t testing.TB, name string, positions int) string {
	t.Helper()
	directory := filepath.Join(models.folder, name)
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
