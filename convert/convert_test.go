package convert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/quant"
)

// modes are all ways to convert, and how much a weight may lose in each: as a part of the largest
// weight that shares its scale, and on average as a part of the average weight.
var modes = []struct {
	name  string
	mode  Mode
	scope Scope
}{
	{"f32", F32, ""},
	{"f16", F16, ""},
	{"int8", Int8, ""},
	{"int4", Int4, ""},
	{"int4-blocks", Int4, Blocks},
	{"int4-all", Int4, All},
}

var losses = map[format.Encoding]struct {
	group     func(columns int) int // weights that share a scale
	most      float64               // error, as a part of their largest: a searched scale clips
	onAverage float64
}{
	format.Float32:   {func(int) int { return 1 }, 0, 0},
	format.PanelF32:  {func(int) int { return 1 }, 0, 0},
	format.PanelF16:  {func(int) int { return 1 }, 1.0 / 2048, 1.0 / 2048},
	format.PanelInt8: {func(columns int) int { return columns }, 0.025, 0.02},
	format.PanelInt4: {func(int) int { return format.GroupColumns }, 0.35, 0.15},
}

// wantEncoding is the definition of the modes, written down a second time.
func wantEncoding(mode, name string) format.Encoding {
	block, mlp := strings.HasPrefix(name, "h."), strings.Contains(name, ".mlp.")
	switch {
	case strings.HasSuffix(name, ".bias"), strings.Contains(name, "ln_"), name == "wpe.weight":
		return format.Float32
	case mode == "f32":
		return format.PanelF32
	case mode == "f16":
		return format.PanelF16
	case mode == "int4" && mlp, mode == "int4-blocks" && block, mode == "int4-all":
		return format.PanelInt4
	}
	return format.PanelInt8
}

func open(t testing.TB, path string) *format.File {
	t.Helper()
	f, err := format.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// decoded returns the values of a section, row by row.
func decoded(t testing.TB, f *format.File, s format.Section) []float32 {
	t.Helper()
	if s.Encoding == format.Float32 {
		return format.Float32s(f.Bytes(s))
	}
	m, err := panel.View(s.Encoding, s.Shape[0], s.Shape[1], f.Bytes(s))
	if err != nil {
		t.Fatal(err)
	}
	return m.Decode()
}

// checkFile compares a converted file with the model it was made from.
func checkFile(t *testing.T, directory, path, mode string) {
	t.Helper()
	source := readTestModel(t, directory)
	f := open(t, path)
	meta, err := f.Meta()
	if err != nil {
		t.Fatal(err)
	}
	if meta.Architecture != "gpt2" || meta.Mode != mode || meta.Tool != Tool {
		t.Errorf("meta is %+v", meta)
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != len(meta.Sources) {
		t.Errorf("%d sources of %d files, error %v", len(meta.Sources), len(entries), err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if digest := sha256.Sum256(content); meta.Sources[entry.Name()] != hex.EncodeToString(digest[:]) {
			t.Errorf("source %s: digest %q", entry.Name(), meta.Sources[entry.Name()])
		}
	}
	tokenizer, ok := f.Section(format.TokenizerName)
	if !ok {
		t.Fatal("no tokenizer")
	}
	if _, err := vocabulary.Open(f.Bytes(tokenizer)); err != nil {
		t.Error(err)
	}

	sections := 0
	for name := range source.tensors {
		short := strings.TrimPrefix(name, "transformer.")
		s, ok := f.Section(short)
		if !ok {
			t.Errorf("%s is missing", short)
			continue
		}
		sections++
		if want := wantEncoding(mode, short); s.Encoding != want {
			t.Errorf("%s: encoding %v, want %v", short, s.Encoding, want)
			continue
		}
		want := source.values(name)
		if strings.HasPrefix(short, "h.") && len(s.Shape) == 2 { // Conv1D
			want = transposed(want, s.Shape[0])
		}
		compare(t, s, decoded(t, f, s), want)
	}
	if sections+2 != len(f.Sections()) {
		t.Errorf("%d sections, want %d", len(f.Sections()), sections+2)
	}
}

// transposed returns the transpose of a matrix with the given number of columns.
func transposed(values []float32, columns int) []float32 {
	rows := len(values) / columns
	out := make([]float32, len(values))
	for i, x := range values {
		out[i%columns*rows+i/columns] = x
	}
	return out
}

func compare(t *testing.T, s format.Section, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", s.Name, len(got), len(want))
		return
	}
	loss := losses[s.Encoding]
	columns := s.Shape[len(s.Shape)-1]
	group := loss.group(columns)
	var errors quant.Errors
	errors.Add(want, got)
	if errors.Relative() > loss.onAverage {
		t.Errorf("%s: %v loses %.3f on average, at most %.3f is expected", s.Name, s.Encoding, errors.Relative(), loss.onAverage)
	}
	for row := range len(want) / columns {
		for start := 0; start < columns; start += group {
			first, end := row*columns+start, row*columns+min(start+group, columns)
			var largest, most float64
			for i := first; i < end; i++ {
				largest = max(largest, math.Abs(float64(want[i])))
				most = max(most, math.Abs(float64(got[i])-float64(want[i])))
			}
			if !(most <= loss.most*largest) {
				t.Fatalf("%s: row %d, columns from %d: off by %v, largest value %v", s.Name, row, start, most, largest)
			}
		}
	}
}

func TestConvertFable(t *testing.T) {
	for _, name := range []string{"fable", "fable-draft"} {
		for _, mode := range modes {
			t.Run(name+"/"+mode.name, func(t *testing.T) {
				t.Parallel()
				directory, target := filepath.Join("..", "testdata", name), filepath.Join(t.TempDir(), "fable.tti")
				if err := Convert(t.Context(), directory, target, Options{Mode: mode.mode, Int4: mode.scope, NoSync: true}); err != nil {
					t.Fatal(err)
				}
				checkFile(t, directory, target, mode.name)
			})
		}
	}
}

// Directories as they are met, each in an exact and in a mixed mode.
func TestConvertVariants(t *testing.T) {
	for name, change := range map[string]func(*synthetic.Model){
		"plain":        func(m *synthetic.Model) {},
		"prefixed":     func(m *synthetic.Model) { m.Prefix = "transformer." },
		"f16":          func(m *synthetic.Model) { m.Type = "F16" },
		"bf16 sharded": func(m *synthetic.Model) { m.Type, m.Shards = "BF16", 3 },
		"untied":       func(m *synthetic.Model) { m.Untied, m.Prefix = true, "transformer." },
		"n_inner":      func(m *synthetic.Model) { m.Hidden = 70 },
		"wide":         func(m *synthetic.Model) { m.Embedding, m.Layers = 130, 1 },
		"one head":     func(m *synthetic.Model) { m.Heads, m.Context = 1, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			m := tiny
			change(&m)
			directory := t.TempDir()
			if err := synthetic.Write(t.Context(), directory, m); err != nil {
				t.Fatal(err)
			}
			for _, mode := range []Mode{F32, Int4} {
				target := filepath.Join(t.TempDir(), "tiny.tti")
				if err := Convert(t.Context(), directory, target, Options{Mode: mode, NoSync: true}); err != nil {
					t.Fatal(err)
				}
				checkFile(t, directory, target, string(mode))
			}
		})
	}
}

// HuggingFace's cache is a directory of links.
func TestConvertLinks(t *testing.T) {
	directory := newTestModel(t, tiny).write(t)
	links := t.TempDir()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for i, entry := range entries {
		blob := filepath.Join(links, fmt.Sprintf("blob%d", i))
		if err := os.Rename(filepath.Join(directory, entry.Name()), blob); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(blob, filepath.Join(directory, entry.Name())); err != nil {
			t.Skip(err)
		}
	}
	target := filepath.Join(t.TempDir(), "tiny.tti")
	if err := Convert(t.Context(), directory, target, Options{Mode: F32}); err != nil {
		t.Fatal(err)
	}
	checkFile(t, directory, target, "f32")
}

// Bytes depend on nothing but the source and the mode; not on where the source lies either.
func TestConvertIsDeterministic(t *testing.T) {
	source := newTestModel(t, tiny)
	for _, mode := range modes {
		var first []byte
		for _, workers := range []int{1, 1, 2, 7} {
			target := filepath.Join(t.TempDir(), fmt.Sprint(workers, ".tti"))
			if err := Convert(t.Context(), source.write(t), target, Options{Mode: mode.mode, Int4: mode.scope, Workers: workers, NoSync: true}); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(target)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = content
			}
			if !bytes.Equal(content, first) {
				t.Errorf("%s: %d workers give other bytes", mode.name, workers)
			}
		}
	}
}

func TestConvertProgress(t *testing.T) {
	directory, target := newTestModel(t, tiny).write(t), filepath.Join(t.TempDir(), "tiny.tti")
	var last, total int64
	progress := func(done, all int64) {
		if done < last || done > all {
			t.Errorf("%d of %d after %d", done, all, last)
		}
		last, total = done, all
	}
	if err := Convert(t.Context(), directory, target, Options{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if last == 0 || last != total {
		t.Errorf("ended at %d of %d", last, total)
	}
}

// A conversion that is called off leaves nothing behind and nothing changed.
func TestConvertCancelled(t *testing.T) {
	for _, before := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		target := filepath.Join(t.TempDir(), "fable.tti")
		if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		if before {
			cancel()
		}
		err := Convert(ctx, filepath.Join("..", "testdata", "fable"), target, Options{Progress: func(int64, int64) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		checkUntouched(t, target)
		cancel()
	}
}

// A source that is cut off under the conversion is an error, not the end of the process.
func TestConvertTruncatedMeanwhile(t *testing.T) {
	directory := readTestModel(t, filepath.Join("..", "testdata", "fable")).write(t)
	target := filepath.Join(t.TempDir(), "fable.tti")
	if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	cut := sync.OnceValue(func() error { return os.Truncate(filepath.Join(directory, weightsFile), 4096) })
	err := Convert(t.Context(), directory, target, Options{Workers: 1, Progress: func(int64, int64) { cut() }})
	if err := cut(); err != nil {
		t.Skip(err) // not every system truncates a mapped file
	}
	if err == nil {
		t.Fatal("converted")
	}
	checkMessage(t, err, "truncated")
	checkUntouched(t, target)
}

// checkUntouched checks that a directory holds the target only, and the target what it held.
func checkUntouched(t *testing.T, target string) {
	t.Helper()
	content, err := os.ReadFile(target)
	if err != nil || string(content) != "old" {
		t.Errorf("the existing target now holds %.20q, error %v", content, err)
	}
	entries, err := os.ReadDir(filepath.Dir(target))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, error %v", entries, err)
	}
}

func TestModeName(t *testing.T) {
	for _, c := range []struct {
		mode  Mode
		scope Scope
		want  string // empty: refused
	}{
		{"", "", "int8"}, {F32, "", "f32"}, {F16, "", "f16"}, {Int8, "", "int8"}, {Int4, "", "int4"},
		{Int4, MLP, "int4"}, {Int4, Blocks, "int4-blocks"}, {Int4, All, "int4-all"},
		{"int4-all", "", ""}, {"int5", "", ""}, {Int4, "some", ""}, {Int8, All, ""}, {"", MLP, ""}, {"F32", "", ""},
	} {
		got, err := modeName(c.mode, c.scope)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q, %q: %q, error %v, want %q", c.mode, c.scope, got, err, c.want)
		}
	}
}
