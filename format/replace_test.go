package format

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// replace writes a text to a target.
func replace(path, text string) error {
	return Replace(path, true, func(file *os.File) error {
		_, err := file.WriteString(text)
		return err
	})
}

func mustSymlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Skip(err) // a privilege on Windows
	}
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestReplaceThroughLinks writes to links, to files and to nothing yet, of which each must stay one.
func TestReplaceThroughLinks(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"links", "files", "files/inner"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(root, filepath.FromSlash(name)) }
	mustWrite(t, at("files/old"), "old")
	links := map[string]string{
		"links/old":      "../files/old",
		"links/new":      "../files/new",
		"links/absolute": at("files/absolute"),
		"links/chain":    "chained",
		"links/chained":  "../files/end",
		"links/folder":   at("files/inner"),
		"links/parent":   "folder/../parent", // of files/inner, not of links/folder
	}
	for name, target := range links {
		mustSymlink(t, target, at(name))
	}
	for name, file := range map[string]string{
		"links/old": "files/old", "links/new": "files/new", "links/absolute": "files/absolute", "links/chain": "files/end", "links/parent": "files/parent",
	} {
		if err := replace(at(name), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(at(file)); string(got) != name {
			t.Errorf("%s holds %q, want %q (%v)", file, got, name, err)
		}
	}
	for name, target := range links {
		if got, err := os.Readlink(at(name)); got != target {
			t.Errorf("%s is no link to %s any more (%v)", name, target, err)
		}
	}
	if got := listing(t, at("links")) + " " + listing(t, at("files")); got != "absolute chain chained folder new old parent absolute end inner new old parent" {
		t.Errorf("there is %q", got)
	}

	mustSymlink(t, "../missing/x", at("links/nowhere"))
	if err := replace(at("links/nowhere"), ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), at("missing")) {
		t.Errorf("link into a directory that is not there: %v", err)
	}
	mustSymlink(t, "circle", at("links/circle"))
	if err := replace(at("links/circle"), ""); err == nil {
		t.Error("a circle of links is written to")
	}
}

// TestReplaceKeepsPermissions watches the temporary file while a private file is replaced.
func TestReplaceKeepsPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions")
	}
	path := filepath.Join(t.TempDir(), "private")
	mustWrite(t, path, "old")
	for _, mode := range []fs.FileMode{0o600, 0o622} { // the second has bits that are masked from new files
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var seen, looks atomic.Int64
		stop := make(chan struct{})
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if info, err := os.Lstat(path + ".partial"); err == nil {
					seen.Or(int64(info.Mode().Perm()))
					looks.Add(1)
				}
			}
		}()
		for range 500 {
			if err := replace(path, "new"); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		<-watching
		if wide := fs.FileMode(seen.Load()) &^ mode; wide != 0 {
			t.Errorf("it had permissions %v beyond %v", wide, mode)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("permissions are %v, want %v (%v)", info.Mode(), mode, err)
		}
		t.Logf("it was seen %d times", looks.Load())
	}
}

// TestStaleTemporary finds what a killed process has left: too long, and with other bytes in it.
func TestStaleTemporary(t *testing.T) {
	sample := newSample(t)
	want := sample.bytes(t)
	directory := t.TempDir()
	path := filepath.Join(directory, "out.tti")
	for _, name := range []string{".partial", ".partial.lock"} {
		if err := os.WriteFile(path+name, bytes.Repeat([]byte{0xff}, 2*len(want)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(context.Background(), path, sample.sections, sample.fill, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("another file came out (%v)", err)
	}
	if got := listing(t, directory); got != "out.tti" {
		t.Errorf("left behind: %q", got)
	}
}

// TestTemporaryLink puts a link to a precious file where the temporary file will be, as if a killed
// process had left it.
func TestTemporaryLink(t *testing.T) {
	sample := newSample(t)
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out.tti")
	if err := os.Symlink(precious, path+".partial"); err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(path+".partial.lock", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(context.Background(), path, sample.sections, sample.fill, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(precious); string(got) != "precious" {
		t.Error("the link was followed")
	}
}

// TestInTheWay has something that nobody has left where the temporary file, or the directory, will be.
func TestInTheWay(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "out")
	if err := os.Mkdir(path+".partial", 0o777); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(path+".partial", "precious"), "precious")
	for range 2 { // nor does the first refusal leave what makes the second think otherwise
		for name, err := range map[string]error{
			"Replace":         replace(path, "new"),
			"CreateDirectory": CreateDirectory(path, func(string) error { return nil }),
		} {
			if err == nil || !strings.Contains(err.Error(), path+".partial is in the way") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if got := listing(t, directory) + " " + listing(t, path+".partial"); got != "out.partial precious" {
		t.Errorf("there is %q", got)
	}
}

// TestLockLink plants a link where the lock will be.
func TestLockLink(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "out")
	mustSymlink(t, filepath.Join(directory, "made"), path+".partial.lock")
	for name, err := range map[string]error{
		"Replace":         replace(path, "new"),
		"CreateDirectory": CreateDirectory(path, func(string) error { return nil }),
	} {
		if err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := listing(t, directory); got != "out.partial.lock" {
		t.Errorf("there is %q", got)
	}
}
