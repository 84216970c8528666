package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tti-llm/tti/"

// rooms returns the folders in the picture of runtime/README.md, from the top floor down.
func rooms(t *testing.T) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../../runtime/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, picture, _ := strings.Cut(string(text), "\n```rooms\n")
	picture, _, found := strings.Cut(picture, "```")
	if !found {
		t.Fatal("runtime/README.md has no picture of the rooms")
	}
	for line := range strings.Lines(picture) {
		if fields := strings.Fields(line); len(fields) > 0 {
			list = append(list, fields[0])
		}
	}
	return list
}

// otherModule reports whether a folder is a module of its own.
func otherModule(top fs.FS, name string) bool {
	_, err := fs.Stat(top, path.Join(name, "go.mod"))
	return name != "." && err == nil
}

// TestRoomsStandInOrder holds the picture of the rooms against the imports of all packages, tests apart: each package is in
// it, and imports only what stands below.
func TestRoomsStandInOrder(t *testing.T) {
	list, top := rooms(t), os.DirFS("../..")
	seen := map[string]bool{}
	err := fs.WalkDir(top, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "testdata" || name != "." && strings.HasPrefix(entry.Name(), ".") || otherModule(top, name)):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		folder := path.Dir(name)
		seen[folder] = true
		place := slices.Index(list, folder)
		if place < 0 {
			t.Errorf("%s: not in the picture", folder)
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", name), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imported := range file.Imports {
			other, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				return err
			}
			other, inside := strings.CutPrefix(other, module)
			if inside && slices.Index(list, other) <= place {
				t.Errorf("%s imports %s, which does not stand below it", name, other)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range list {
		if !seen[room] {
			t.Errorf("%s: in the picture, but there is no such package", room)
		}
	}
	// Between top-level folders dependencies point downwards as well: each has one place.
	var floors []string
	for _, room := range list {
		if floor, _, _ := strings.Cut(room, "/"); len(floors) == 0 || floors[len(floors)-1] != floor {
			floors = append(floors, floor)
		}
	}
	if want := []string{"cmd", "spec", "convert", "runtime", "kernels", "quant", "format"}; !slices.Equal(floors, want) {
		t.Errorf("floors %v, want %v", floors, want)
	}
}
