package convert

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/format"
)

// TestRepackIsConverting: from f32 every mode is the same file as from the source, of both architectures and with a calibration; from f16 the
// tensors are, where the source is in float16.
func TestRepackIsConverting(t *testing.T) {
	folder := t.TempDir()
	read := func(path string) []byte {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	for name, source := range map[string]string{"gpt2": "../testdata/fable-draft", "llama": "../testdata/families/llama", "gemma2": "../testdata/families/gemma2"} {
		if _, err := os.Stat(source); err != nil {
			t.Fatal(err)
		}
		f32, f16 := filepath.Join(folder, name+"-f32.tti"), filepath.Join(folder, name+"-f16.tti")
		for path, mode := range map[string]Mode{f32: F32, f16: F16} {
			if err := Convert(t.Context(), source, path, Options{Mode: mode}); err != nil {
				t.Fatal(err)
			}
		}
		direct, again := filepath.Join(folder, "direct.tti"), filepath.Join(folder, "again.tti")
		for _, o := range []Options{
			{Mode: F32}, {Mode: F16}, {Mode: Int8}, {Mode: Int4}, {Mode: Int4, Int4: Blocks}, {Mode: Int4, Int4: All},
			{Mode: Int4, Calibrate: &Calibration{Text: "Once upon a time there was a wolf."}},
		} {
			if o.Calibrate != nil && testing.Short() {
				continue
			}
			if err := Convert(t.Context(), source, direct, o); err != nil {
				t.Fatal(err)
			}
			if err := Repack(t.Context(), f32, again, o); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(direct), read(again)) {
				t.Errorf("%s in mode %s %s: the file from f32 is not that from the source", name, o.Mode, o.Int4)
			}
			if name != "gpt2" { // whose source is in float16
				continue
			}
			if err := Repack(t.Context(), f16, again, o); err != nil {
				t.Fatal(err)
			}
			compareTensors(t, direct, again)
		}
	}
}

// compareTensors checks that two files have the same tensors, and that the second one tells of the file between.
func compareTensors(t *testing.T, first, second string) {
	t.Helper()
	a, err := format.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := format.Open(second)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, s := range a.Sections() {
		other, ok := b.Section(s.Name)
		if same := ok && other.Checksum == s.Checksum; same != (s.Kind != format.KindMeta) {
			t.Errorf("section %s: the same %v", s.Name, same)
		}
	}
	if meta, err := b.Meta(); err != nil || meta.Sources[f16Source] == "" {
		t.Errorf("sources %v (%v)", meta.Sources, err)
	}
}

func TestRepackRefuses(t *testing.T) {
	folder := t.TempDir()
	f32, int8 := filepath.Join(folder, "f32.tti"), filepath.Join(folder, "int8.tti")
	for path, mode := range map[string]Mode{f32: F32, int8: Int8} {
		if err := Convert(t.Context(), "../testdata/fable-draft", path, Options{Mode: mode}); err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(folder, "x.tti")
	if err := Repack(t.Context(), int8, target, Options{Mode: Int4}); !errors.Is(err, ErrRounded) {
		t.Errorf("from int8: %v", err)
	}
	if err := Repack(t.Context(), f32, f32, Options{Mode: Int4}); err == nil {
		t.Error("a file becomes itself")
	}
	if err := Repack(t.Context(), filepath.Join(folder, "missing.tti"), target, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("from nothing: %v", err)
	}
	content, err := os.ReadFile(f32)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-100] ^= 1
	if err := os.WriteFile(f32, content, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Repack(t.Context(), f32, target, Options{Mode: Int4}); !errors.Is(err, format.ErrChecksum) {
		t.Errorf("from a damaged file: %v", err)
	}
	if _, err := os.Stat(target); !os.IsNotExist(err) {
		t.Errorf("there is a target (%v)", err)
	}
}
