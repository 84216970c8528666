package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestExport converts what it has exported: that must tell the same story.
func TestExport(t *testing.T) {
	folder := t.TempDir()
	directory, again := filepath.Join(folder, "draft"), filepath.Join(folder, "again.tti")
	if o := tti(t, "", "export", draftF32, "-o", directory); o.code != 0 || o.stdout != "" || !strings.HasPrefix(o.stderr, directory+": ") {
		t.Fatalf("exit code %d, output %q, standard error %q", o.code, o.stdout, o.stderr)
	}
	if o := tti(t, "", "convert", directory, "--mode", "f32", "-o", again); o.code != 0 {
		t.Fatal(o.stderr)
	}
	story := []string{"--prompt", "Once upon a time", "-n", "30", "--temp", "1", "--seed", "0"}
	want := succeeds(t, "", append([]string{"run", draftF32}, story...)...)
	if got := succeeds(t, "", append([]string{"run", again}, story...)...); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	refuses(t, 1, "not empty", "export", draftF32, "-o", directory)
	refuses(t, 1, "missing.tti", "export", filepath.Join(folder, "missing.tti"))
	refuses(t, 1, "is a safetensors file", "export", filepath.Join(directory, "model.safetensors"), "-o", filepath.Join(folder, "x"))
	refuses(t, 2, "does not end in .tti", "export", filepath.Join(directory, "model.safetensors"))
	refuses(t, 2, "f64", "export", draftF32, "--dtype", "f64")
}

// TestExportNamesItsTarget writes beside the file.
func TestExportNamesItsTarget(t *testing.T) {
	file := filepath.Join(t.TempDir(), "model.tti")
	copyFile(t, draftInt8, file)
	if o := tti(t, "", "export", file, "--dtype", "f16"); o.code != 0 {
		t.Fatal(o.stderr)
	}
	if matches, _ := filepath.Glob(strings.TrimSuffix(file, ".tti") + "/model.safetensors"); len(matches) != 1 {
		t.Error("nothing is there")
	}
}
