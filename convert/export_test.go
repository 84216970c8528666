package convert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/killtest"
)

// exportModels are directories to convert and export.
func exportModels(t *testing.T) map[string]string {
	t.Helper()
	directories := map[string]string{"fable": filepath.Join("..", "testdata", "fable")}
	for name, change := range map[string]func(m *synthetic.Model){
		"tied":     func(*synthetic.Model) {},
		"untied":   func(m *synthetic.Model) { m.Untied = true },
		"sharded":  func(m *synthetic.Model) { m.Shards = 3; m.Prefix = "transformer."; m.Untied = true },
		"bfloat16": func(m *synthetic.Model) { m.Type = "BF16"; m.Hidden = 70 },
		"half":     func(m *synthetic.Model) { m.Type = "F16"; m.Embedding = 72 },
	} {
		m := tiny
		change(&m)
		directories[name] = newTestModel(t, m).write(t)
		if m.Shards > 0 {
			directories[name] = t.TempDir()
			if err := synthetic.Write(t.Context(), directories[name], m); err != nil {
				t.Fatal(err)
			}
		}
	}
	return directories
}

// there converts a directory, and back exports the file.
func there(t *testing.T, directory string, o Options) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "model.tti")
	o.NoSync = true
	if err := Convert(t.Context(), directory, target, o); err != nil {
		t.Fatal(err)
	}
	return target
}

func back(t *testing.T, file string, o ExportOptions) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "export")
	if err := Export(t.Context(), file, directory, o); err != nil {
		t.Fatal(err)
	}
	return directory
}

// TestExportIsExact goes from source to f32 file to source: every tensor of the source must be there
// again, bit for bit, under the name that transformers gives it, and the file made from it must be the
// same but for the digests of its sources.
func TestExportIsExact(t *testing.T) {
	for name, directory := range exportModels(t) {
		t.Run(name, func(t *testing.T) {
			file := there(t, directory, Options{Mode: F32})
			exported := back(t, file, ExportOptions{})
			want, got := readTestModel(t, directory), readTestModel(t, exported)
			for name := range want.tensors {
				wanted := name
				if name != "lm_head.weight" && !strings.HasPrefix(name, "transformer.") {
					wanted = "transformer." + name
				}
				view := got.tensors[wanted]
				if view.DType() != safetensors.F32 || !slices.Equal(view.Shape(), want.tensors[name].Shape()) || !slices.Equal(got.values(wanted), want.values(name)) {
					t.Errorf("%s is %v %v, or has other values", wanted, view.DType(), view.Shape())
				}
			}
			if len(got.tensors) != len(want.tensors) {
				t.Errorf("%d tensors, want %d", len(got.tensors), len(want.tensors))
			}
			for key, value := range want.config {
				if again, ok := got.config[key]; ok && value != nil && key != "torch_dtype" && !reflect.DeepEqual(again, value) {
					t.Errorf("config.json: %s is %v, was %v", key, again, value)
				}
			}
			sameModel(t, there(t, exported, Options{Mode: F32}), file)
		})
	}
}

// sameModel compares two files but for the digests of their sources.
func sameModel(t *testing.T, got, want string) {
	t.Helper()
	a, b := open(t, got), open(t, want)
	metaA, errA := a.Meta()
	metaB, errB := b.Meta()
	metaA.Sources, metaB.Sources = nil, nil
	if errA != nil || errB != nil || !reflect.DeepEqual(metaA, metaB) {
		t.Errorf("meta %s, want %s (%v, %v)", metaA.Hyperparameters, metaB.Hyperparameters, errA, errB)
	}
	for _, s := range b.Sections() {
		if s.Kind == format.KindMeta {
			continue
		}
		again, ok := a.Section(s.Name)
		if !ok || again.Encoding != s.Encoding || !slices.Equal(again.Shape, s.Shape) || !bytes.Equal(a.Bytes(again), b.Bytes(s)) {
			t.Errorf("section %s differs", s.Name)
		}
	}
}

// TestExportHalf: weights that are binary16 already survive in it.
func TestExportHalf(t *testing.T) {
	file := there(t, exportModels(t)["fable"], Options{Mode: F16})
	for _, dtype := range []DType{DTypeF16, DTypeF32} {
		exported := back(t, file, ExportOptions{DType: dtype, Workers: 1})
		if want := map[DType]safetensors.DType{DTypeF16: safetensors.F16, DTypeF32: safetensors.F32}[dtype]; readTestModel(t, exported).tensors["transformer.ln_f.bias"].DType() != want {
			t.Errorf("%s: not %v", dtype, want)
		}
		sameModel(t, there(t, exported, Options{Mode: F16}), file)
	}
}

// TestExportQuantized exports what the panels decode to.
func TestExportQuantized(t *testing.T) {
	directory := exportModels(t)["untied"]
	for _, mode := range modes {
		path := there(t, directory, Options{Mode: mode.mode, Int4: mode.scope})
		f, m := open(t, path), readTestModel(t, back(t, path, ExportOptions{}))
		for _, s := range f.Sections()[2:] {
			want := decoded(t, f, s)
			name := "transformer." + s.Name
			if s.Name == "lm_head.weight" {
				name = s.Name
			}
			if strings.HasPrefix(s.Name, "h.") && len(s.Shape) == 2 {
				want = transposed(want, s.Shape[1])
			}
			if !slices.Equal(m.values(name), want) {
				t.Errorf("%s: %s differs", mode.name, s.Name)
			}
		}
	}
}

func TestExportRefuses(t *testing.T) {
	large := newTestModel(t, tiny)
	large.put(t, "h.1.mlp.c_fc.weight", 96*3+5, 0, 0x08, 0x80, 0x47) // 65552
	file := there(t, large.write(t), Options{})
	for name, c := range map[string]struct {
		prepare func(directory string) error
		options ExportOptions
		context func() context.Context
		want    string
	}{
		"overflow":  {options: ExportOptions{DType: DTypeF16}, want: "tensor h.1.mlp.c_fc.weight: value 65552 at [3 5] is too large for f16"},
		"type":      {options: ExportOptions{DType: "f64"}, want: `unknown element type "f64"`},
		"occupied":  {prepare: func(d string) error { return errors.Join(os.Mkdir(d, 0o777), os.WriteFile(d+"/x", nil, 0o666)) }, want: "exists and is not empty"},
		"a file":    {prepare: func(d string) error { return os.WriteFile(d, nil, 0o666) }, want: "not a directory"},
		"cancelled": {context: func() context.Context { ctx, cancel := context.WithCancel(t.Context()); cancel(); return ctx }, want: "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			directory := filepath.Join(parent, "export")
			if c.prepare != nil {
				if err := c.prepare(directory); err != nil {
					t.Fatal(err)
				}
			}
			ctx := t.Context()
			if c.context != nil {
				ctx = c.context()
			}
			before, _ := os.ReadDir(parent)
			err := Export(ctx, file, directory, c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "export "+file+": ") {
				t.Errorf("%v, want %s", err, c.want)
			}
			if after, _ := os.ReadDir(parent); len(after) != len(before) {
				t.Errorf("%v is left behind", after)
			}
		})
	}
}

// TestExportIntoEmptyDirectory uses one that is there, and gives it usual permissions.
func TestExportIntoEmptyDirectory(t *testing.T) {
	file, directory := there(t, newTestModel(t, tiny).write(t), Options{Mode: Int8}), t.TempDir()
	if err := Export(t.Context(), file, directory, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	want := "config.json generation_config.json merges.txt model.safetensors special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json"
	var names []string
	entries, err := os.ReadDir(directory)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if got := strings.Join(names, " "); err != nil || got != want {
		t.Errorf("%s, want %s (%v)", got, want, err)
	}
	info, err := os.Stat(directory)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("permissions %v (%v)", info.Mode(), err)
	}
}

// TestExportOfChangingFile changes a bit of one section after the other once the first numbers have been written: what is
// written is the model that it was, or nothing.
func TestExportOfChangingFile(t *testing.T) {
	path := there(t, newTestModel(t, tiny).write(t), Options{Mode: Int8})
	whole := filepath.Join(t.TempDir(), "whole")
	if err := Export(t.Context(), path, whole, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	want, refused := contents(t, whole), 0
	f := open(t, path)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, s := range f.Sections() {
		at := s.Offset + s.Length/2
		original := f.Bytes(s)[s.Length/2]
		put := func(b byte) {
			if _, err := file.WriteAt([]byte{b}, at); err != nil {
				t.Error(err)
			}
		}
		change := sync.OnceFunc(func() { put(original ^ 1) })
		directory := filepath.Join(t.TempDir(), "export")
		err := Export(t.Context(), path, directory, ExportOptions{Workers: 1, Progress: func(int64, int64) { change() }})
		put(original)
		switch {
		case err == nil:
			if got := contents(t, directory); !maps.Equal(got, want) {
				t.Errorf("section %s has changed: another model has been written", s.Name)
			}
		case errors.Is(err, format.ErrChecksum) && strings.Contains(err.Error(), s.Name):
			refused++
			if _, err := os.Lstat(directory); err == nil {
				t.Errorf("section %s has changed: something has been written", s.Name)
			}
		default:
			t.Errorf("section %s: %v", s.Name, err)
		}
	}
	t.Logf("%d of %d changes came in time to be seen", refused, len(f.Sections()))
	if refused < len(f.Sections())/2 {
		t.Error("hardly any: nothing has been tried")
	}
}

// TestExportReplacesNothing has something appear where the directory will be, before or during the
// work, and wants it to stay.
func TestExportReplacesNothing(t *testing.T) {
	file := there(t, newTestModel(t, tiny).write(t), Options{Mode: Int8})
	for name, put := range map[string]func(path string) error{
		"file":                     func(path string) error { return os.WriteFile(path, []byte("precious"), 0o666) },
		"dangling link":            func(path string) error { return os.Symlink("missing", path) },
		"link to a file":           func(path string) error { return os.Symlink(file, path) },
		"link to an empty folder":  func(path string) error { return os.Symlink(t.TempDir(), path) },
		"directory with something": func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o777) },
	} {
		for _, before := range []bool{true, false} {
			parent := t.TempDir()
			directory := filepath.Join(parent, "export")
			var want os.FileInfo
			appear := sync.OnceFunc(func() {
				if err := put(directory); err != nil {
					t.Error(err)
				}
				want, _ = os.Lstat(directory)
			})
			if before {
				appear()
			}
			err := Export(t.Context(), file, directory, ExportOptions{Progress: func(int64, int64) { appear() }})
			if !errors.Is(err, ErrExists) {
				t.Errorf("%s: %v, want %v", name, err, ErrExists)
			}
			if got, err := os.Lstat(directory); err != nil || !os.SameFile(got, want) {
				t.Errorf("%s: it is not there any more (%v)", name, err)
			}
			if entries, _ := os.ReadDir(parent); len(entries) != 1 {
				t.Errorf("%s: %v is left", name, entries)
			}
		}
	}
}

// TestExportKilled kills a process that exports, at many moments, and finds the whole directory or
// none, and nothing else after the next time.
func TestExportKilled(t *testing.T) {
	file := there(t, newTestModel(t, tiny).write(t), Options{Mode: Int8})
	path, away := filepath.Join(t.TempDir(), "export"), filepath.Join(t.TempDir(), "away")
	export := func(path string) error {
		err := os.Rename(path, away) // at once, unlike its removal
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, os.RemoveAll(away), Export(t.Context(), file, path, ExportOptions{}))
	}
	if err := export(path); err != nil {
		t.Fatal(err)
	}
	want := contents(t, path)
	killtest.Run(t, path, 30, export, func(kill int) {
		if _, err := os.Lstat(path); err == nil && !maps.Equal(contents(t, path), want) {
			t.Fatalf("after kill %d there is a part of it", kill)
		}
		if err := export(path); err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
		if got := contents(t, path); !maps.Equal(got, want) {
			t.Fatalf("after kill %d there is another model", kill)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Fatalf("after kill %d %v is left", kill, entries)
		}
	})
}

// contents returns the files in a directory.
func contents(t *testing.T, directory string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(text)
	}
	return files
}

// TestExportMatchesNamesExactly has hyperparameters under names that encoding/json would take for others.
func TestExportMatchesNamesExactly(t *testing.T) {
	f := open(t, there(t, newTestModel(t, tiny).write(t), Options{}))
	meta, err := f.Meta()
	if err != nil {
		t.Fatal(err)
	}
	configurationOf := func(hyperparameters string) string {
		meta.Hyperparameters = []byte(hyperparameters)
		directory := filepath.Join(t.TempDir(), "export")
		if err := Export(t.Context(), rewritten(t, f, meta), directory, ExportOptions{}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(directory, configurationFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	hyperparameters := string(meta.Hyperparameters)
	want := configurationOf(hyperparameters)
	for _, more := range []string{`"layer_norm_epſilon":0.5`, `"eoſ_token_id":7`, `"ſcale_attn_weights":false`, `"N_head":3`} {
		if got := configurationOf(strings.TrimSuffix(hyperparameters, "}") + "," + more + "}"); got != want {
			t.Errorf("with %s: %s, want %s", more, got, want)
		}
	}
}

// TestExportRefusesForeignFiles has files whose tensors are not what their hyperparameters say.
func TestExportRefusesForeignFiles(t *testing.T) {
	path := there(t, newTestModel(t, tiny).write(t), Options{Mode: Int8})
	f := open(t, path)
	meta, err := f.Meta()
	if err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{
		`"n_layer":2`:      `"n_layer":1000000000` + "\x00tensor h.2.ln_1.weight is missing",
		`"vocab_size":300`: `"vocab_size":301` + "\x00tensor wte.weight is int8 of shape [300 24], want shape [301 24]",
		`"n_embd":24`:      `"n_embd":-24` + "\x00hyperparameters: n_embd is -24",
	} {
		to, want, _ := strings.Cut(want, "\x00")
		changed := meta
		changed.Hyperparameters = []byte(strings.Replace(string(meta.Hyperparameters), change, to, 1))
		err := Export(t.Context(), rewritten(t, f, changed), filepath.Join(t.TempDir(), "export"), ExportOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", to, err, want)
		}
	}
}

// rewritten returns a copy of the file with another meta section.
func rewritten(t *testing.T, f *format.File, meta format.Meta) string {
	t.Helper()
	text, err := meta.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sections := f.Sections()
	sections[0].Shape = []int{len(text)}
	path := filepath.Join(t.TempDir(), "rewritten.tti")
	err = format.Write(t.Context(), path, sections, func(_ context.Context, i int, w io.Writer) error {
		contents := text
		if i > 0 {
			contents = f.Bytes(f.Sections()[i])
		}
		_, err := w.Write(contents)
		return err
	}, format.WriteOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return path
}
