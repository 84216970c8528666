package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tti-llm/tti/format"
)

func TestConvertNamesItsTarget(t *testing.T) {
	source, err := filepath.Abs(draftSource)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, test := range []struct {
		flags        []string
		target, mode string
	}{
		{nil, "fable-draft-int8.tti", "int8"},
		{[]string{"--mode", "f16"}, "fable-draft-f16.tti", "f16"},
		{[]string{"--mode", "int4"}, "fable-draft-int4.tti", "int4"},
		{[]string{"--mode", "int4", "--int4", "mlp"}, "fable-draft-int4.tti", "int4"},
		{[]string{"--mode", "int4", "--int4", "all"}, "fable-draft-int4-all.tti", "int4-all"},
		{[]string{"--mode", "int4-all"}, "fable-draft-int4-all.tti", "int4-all"},
		{[]string{"--mode", "int4-blocks", "--int4", "blocks"}, "fable-draft-int4-blocks.tti", "int4-blocks"},
		{[]string{"--mode", "int4", "--int4", "blocks", "-o", "b.tti"}, "b.tti", "int4-blocks"},
	} {
		o := tti(t, "", append([]string{"convert", source}, test.flags...)...)
		summary := `^` + regexp.QuoteMeta(test.target) + `: [\d.]+ [kM]B, [\d.]+ bits per weight, from local directory .*fable-draft in [\d.]+ s\n$`
		if o.code != 0 || o.stdout != "" || !regexp.MustCompile(summary).MatchString(o.stderr) {
			t.Errorf("%v: exit code %d, output %q, standard error %q", test.flags, o.code, o.stdout, o.stderr)
			continue
		}
		file, err := format.Open(test.target)
		if err != nil {
			t.Error(err)
			continue
		}
		if meta, err := file.Meta(); err != nil || meta.Mode != test.mode {
			t.Errorf("%s has mode %q (%v), want %q", test.target, meta.Mode, err, test.mode)
		}
		file.Close()
	}
	for _, name := range []string{"org/name@main", "org/name@refs/pr/1", "https://huggingface.co/org/name/tree/main"} {
		if target, err := defaultTarget(name, "-int8"); target != "name-int8.tti" || err != nil {
			t.Errorf("%s: got %q, %v", name, target, err)
		}
	}
}

// TestConvertTTI: a file of mode f32 is taken for the source that it was made from, and one of fewer bits is not.
func TestConvertTTI(t *testing.T) {
	folder := t.TempDir()
	source, err := filepath.Abs(draftF32)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(folder, "want.tti")
	if err := convertFor(want, draftSource, "int4"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	o := tti(t, "", "convert", source, "--mode", "int4")
	if o.code != 0 || o.stdout != "" || !regexp.MustCompile(`^draft-int4\.tti: .* bits per weight, from file .*draft-f32\.tti in [\d.]+ s\n$`).MatchString(o.stderr) {
		t.Errorf("exit code %d, output %q, standard error %q", o.code, o.stdout, o.stderr)
	}
	if !bytes.Equal(readFile(t, want), readFile(t, "draft-int4.tti")) {
		t.Error("it is not the file that the source gives")
	}
	refuses(t, 1, `draft-int4\.tti: its weights have been rounded to few bits already .*convert its source`, "convert", "draft-int4.tti", "--mode", "int8")
}

func TestConvertCalibrates(t *testing.T) {
	if testing.Short() {
		t.Skip("calibrates a model")
	}
	target, text := filepath.Join(t.TempDir(), "calibrated.tti"), "Once upon a time there was a wolf who lived by the river. "
	o := tti(t, strings.Repeat(text, 20), "convert", draftSource, "--mode", "int4", "--calibrate", "-", "-o", target)
	if o.code != 0 || o.stdout != "" {
		t.Fatalf("exit code %d, output %q, standard error %q", o.code, o.stdout, o.stderr)
	}
	var found inspection
	decodeStrictly(t, succeeds(t, "", "inspect", target, "--json"), &found)
	if found.Mode != "int4-calibrated" || found.Sources["(calibration text)"] == "" {
		t.Errorf("mode %q, sources %v", found.Mode, found.Sources)
	}
	refuses(t, 1, `calibration: the text is empty`, "convert", draftSource, "--calibrate", os.DevNull, "-o", target)
	refuses(t, 1, `no such file`, "convert", draftSource, "--calibrate", filepath.Join(t.TempDir(), "none"), "-o", target)
}

func TestConvertLeavesTargetAlone(t *testing.T) {
	target := filepath.Join(t.TempDir(), "kept.tti")
	if err := os.WriteFile(target, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	refuses(t, 1, `config.json`, "convert", t.TempDir(), "-o", target)
	if kept, err := os.ReadFile(target); string(kept) != "precious" {
		t.Errorf("target holds %q (%v)", kept, err)
	}
}

// TestConvertSparesItsSource asks for a target that is one of the files it is made from.
func TestConvertSparesItsSource(t *testing.T) {
	source := t.TempDir()
	if err := os.CopyFS(source, os.DirFS(draftSource)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.tti")
	if err := os.Symlink(filepath.Join(source, "model.safetensors"), link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	for target, name := range map[string]string{
		filepath.Join(source, "config.json"):       "config.json",
		filepath.Join(source, "model.safetensors"): "model.safetensors",
		filepath.Join(source, "merges.txt"):        "merges.txt",
		link:                                       "model.safetensors",
	} {
		refuses(t, 1, `the model's own `+regexp.QuoteMeta(name), "convert", source, "-o", target)
	}
	if err := os.RemoveAll(link); err != nil {
		t.Fatal(err)
	}
	// It is still the model it was.
	if o := tti(t, "", "convert", source, "-o", link); o.code != 0 {
		t.Error(o.stderr)
	}
	refuses(t, 1, `is empty`, "convert", source, "-o", "")
}
