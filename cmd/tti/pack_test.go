package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// newPacked packs the draft model and returns the path of the packed file.
func newPacked(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "draft.tti.zst")
	if o := tti(t, "", "pack", draftInt8, "-o", path); o.code != 0 {
		t.Fatal(o)
	}
	return path
}

func TestPackAndUnpack(t *testing.T) {
	model, err := os.ReadFile(draftInt8)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("draft.tti", model, 0o666); err != nil {
		t.Fatal(err)
	}
	says := func(pattern string, args ...string) {
		t.Helper()
		if o := tti(t, "", args...); o.code != 0 || o.stdout != "" || !regexp.MustCompile(pattern).MatchString(o.stderr) {
			t.Errorf("%v: exit code %d, output %q, standard error %q", args, o.code, o.stdout, o.stderr)
		}
	}
	says(`^draft\.tti\.zst: \d+ kB, \d\d\.\d % of draft\.tti, in \d+\.\d s\n$`, "pack", "draft.tti")
	if err := os.Remove("draft.tti"); err != nil {
		t.Fatal(err)
	}
	says(`^draft\.tti: \d+ kB, 1\d\d\.\d % of draft\.tti\.zst, in \d+\.\d s\n$`, "unpack", "draft.tti.zst")
	says(`^other: `, "unpack", "draft.tti.zst", "-o", "other")
	for _, name := range []string{"draft.tti", "other"} {
		if got, err := os.ReadFile(name); !bytes.Equal(got, model) {
			t.Errorf("%s is not the file that was packed (%v)", name, err)
		}
	}
}

func TestPackedIsInspectedAndVerified(t *testing.T) {
	path := newPacked(t)
	if text := succeeds(t, "", "verify", path); !strings.HasPrefix(text, path+": ok, ") {
		t.Errorf("verify says %q", text)
	}
	var plain, packed inspection
	decodeStrictly(t, succeeds(t, "", "inspect", draftInt8, "--json"), &plain)
	text := succeeds(t, "", "inspect", path, "--json")
	decodeStrictly(t, text, &packed)
	if packed.PackedBytes == 0 || packed.PackedBytes >= packed.Bytes {
		t.Errorf("%d bytes packed, %d not", packed.PackedBytes, packed.Bytes)
	}
	without := regexp.MustCompile(`"packed_bytes":\d+,`).ReplaceAllString(strings.Replace(text, path, draftInt8, 1), "")
	if want := succeeds(t, "", "inspect", draftInt8, "--json"); without != want {
		t.Errorf("a packed file is shown as\n%s, want\n%s", without, want)
	}
	if text := succeeds(t, "", "inspect", path); !regexp.MustCompile(`packed +\d+ kB \(.* bytes\), \d\d\.\d %`).MatchString(text) {
		t.Errorf("inspect says\n%s", text)
	}
}

// TestPackedIsNotForRunning wants every command that maps a model to say what to do.
func TestPackedIsNotForRunning(t *testing.T) {
	path := newPacked(t)
	want := regexp.QuoteMeta(path + `: file is packed: run "tti unpack ` + path + `" first`)
	for _, args := range [][]string{
		{"run", path, "--prompt", "x"}, {"run", draftInt8, "--draft", path, "--prompt", "x"}, {"eval", path, "--text", path},
		{"bench", path}, {"tokenize", path, "x"},
	} {
		refuses(t, 1, want, args...)
	}
}

func TestPackRefuses(t *testing.T) {
	path := newPacked(t)
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, 2, `draft\.tti does not end in \.zst: --output is missing`, "unpack", "draft.tti")
	refuses(t, 2, `0 arguments`, "pack")
	refuses(t, 2, `0 arguments given, want FILE\.tti\.zst`, "unpack")
	refuses(t, 1, `file is packed`, "pack", path)
	refuses(t, 1, `not a tti file`, "unpack", draftInt8, "-o", path+"x")
	refuses(t, 1, `same file`, "pack", draftInt8, "-o", draftInt8)
	packed[len(packed)/2] ^= 1
	if err := os.WriteFile(path, packed, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", path}, {"unpack", path}} {
		refuses(t, 1, regexp.QuoteMeta(path)+`: frame 0 at 0: `, args...)
	}
	if _, err := os.Stat(strings.TrimSuffix(path, ".zst")); err == nil {
		t.Error("a damaged file has been unpacked")
	}
}
