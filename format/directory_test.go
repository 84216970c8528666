package format

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestCreateDirectory(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "model")
	fill := func(directory string) error {
		return os.WriteFile(filepath.Join(directory, "file"), []byte("new"), 0o666)
	}
	failure := errors.New("no more")
	fails := func(directory string) error { fill(directory); return failure }

	// What a killed process left, and a directory that is empty, are no obstacle.
	if err := os.MkdirAll(path+".partial/old", 0o777); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, path+".partial.lock", "")
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := CreateDirectory(path, fails); !errors.Is(err, failure) {
		t.Errorf("%v, want %v", err, failure)
	}
	if got := listing(t, parent) + listing(t, path); got != "model" {
		t.Errorf("after a failure there is %q", got)
	}
	if err := CreateDirectory(path+"/", fill); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, parent) + " " + listing(t, path); got != "model file" {
		t.Errorf("there is %q", got)
	}

	if err := CreateDirectory(path, fill); err == nil {
		t.Error("a directory with files is replaced")
	}
	if err := CreateDirectory(filepath.Join(path, "file"), fill); err == nil {
		t.Error("a file is replaced")
	}
	if err := CreateDirectory(filepath.Join(path, "no", "such"), fill); err == nil {
		t.Error("a parent is made up")
	}
	inner := func(string) error { return CreateDirectory(filepath.Join(parent, "other"), fill) }
	if err := CreateDirectory(filepath.Join(parent, "other"), inner); err == nil {
		t.Error("two create the same directory at once")
	}
	if got := listing(t, parent); got != "model" {
		t.Errorf("there is %q", got)
	}
}

// TestCreateDirectoryReplacesNothing puts something where the directory will be, before or while it is
// filled, and wants it to be there afterwards as it was.
func TestCreateDirectoryReplacesNothing(t *testing.T) {
	for name, put := range map[string]func(t *testing.T, path string){
		"file":           func(t *testing.T, path string) { mustWrite(t, path, "precious") },
		"full directory": func(t *testing.T, path string) { mustMkdir(t, path, 0o777); mustWrite(t, filepath.Join(path, "x"), "") },
		"link to a file": func(t *testing.T, path string) { mustWrite(t, path+"-there", ""); mustSymlink(t, path+"-there", path) },
		"link to a folder": func(t *testing.T, path string) {
			mustMkdir(t, path+"-there", 0o777)
			mustSymlink(t, path+"-there", path)
		},
		"dangling link": func(t *testing.T, path string) { mustSymlink(t, path+"-there", path) },
	} {
		for _, before := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				parent := t.TempDir()
				path := filepath.Join(parent, "model")
				var want fs.FileInfo
				prepare := func() {
					put(t, path)
					want, _ = os.Lstat(path)
				}
				filled := false
				if before {
					prepare()
				}
				err := CreateDirectory(path, func(directory string) error {
					filled = true
					if !before {
						prepare()
					}
					return os.WriteFile(filepath.Join(directory, "file"), nil, 0o666)
				})
				if !errors.Is(err, ErrExists) || filled == before {
					t.Errorf("%v, want %v; filled: %v", err, ErrExists, filled)
				}
				if got, err := os.Lstat(path); err != nil || !os.SameFile(got, want) {
					t.Errorf("it is not there any more: %v", err)
				}
				if got := listing(t, parent); got != "model" && got != "model model-there" {
					t.Errorf("there is %q", got)
				}
			})
		}
	}
}

func mustMkdir(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Mkdir(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestRenameDirectory is about the last moment, after all has been asked for.
func TestRenameDirectory(t *testing.T) {
	parent := t.TempDir()
	at := func(name string) string { return filepath.Join(parent, name) }
	mustMkdir(t, at("new"), 0o777)
	mustWrite(t, at("file"), "")
	mustMkdir(t, at("full"), 0o777)
	mustMkdir(t, at("full/x"), 0o777)
	targets := []string{"file", "full"}
	if runtime.GOOS != "windows" {
		mustSymlink(t, "missing", at("dangling"))
		mustSymlink(t, "new", at("link"))
		targets = append(targets, "dangling", "link")
	}
	before := listing(t, parent)
	for _, name := range targets {
		if err := renameDirectory(at("new"), at(name)); err == nil {
			t.Errorf("%s is replaced", name)
		}
		if got := listing(t, parent); got != before {
			t.Errorf("%s: there is %q, want %q", name, got, before)
		}
	}
	mustMkdir(t, at("empty"), 0o777)
	mustWrite(t, at("new/file"), "")
	if err := renameDirectory(at("new"), at("empty")); err != nil || listing(t, at("empty")) != "file" {
		t.Errorf("an empty directory is not replaced: %v", err)
	}
}

// TestCreateDirectoryKeepsPermissions uses an empty directory that is private.
func TestCreateDirectoryKeepsPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions")
	}
	for _, mode := range []fs.FileMode{0o700, 0o500, 0o775} {
		path := filepath.Join(t.TempDir(), "model")
		mustMkdir(t, path, 0o700)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		err := CreateDirectory(path, func(directory string) error {
			if info, err := os.Stat(directory); err != nil || info.Mode().Perm()&^0o700&^mode != 0 {
				t.Errorf("on the way it has permissions %v, for %v (%v)", info.Mode(), mode, err)
			}
			return os.WriteFile(filepath.Join(directory, "file"), nil, 0o666)
		})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode || listing(t, path) != "file" {
			t.Errorf("permissions are %v, want %v (%v)", info.Mode(), mode, err)
		}
	}
}

// TestCreateDirectoryWithoutName cannot replace the directory that somebody is in.
func TestCreateDirectoryWithoutName(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"", ".", "./", "..", "../..", "/"} {
		if err := CreateDirectory(path, func(string) error { return nil }); err == nil {
			t.Errorf("%q is replaced", path)
		}
	}
}
