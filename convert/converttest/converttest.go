// Package converttest converts models for the tests of other packages.
package converttest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tti-llm/tti/convert"
)

// Files are models in a temporary folder, each converted when a test first asks for it. Tests may ask side by side.
type Files struct {
	mutex  sync.Mutex
	folder string
	paths  map[string]string // of what is converted, by its file's name
}

// Run runs tests that use the files, and returns their exit code. It is for TestMain: the files are there until the tests end.
func (f *Files) Run(tests func() int) int {
	folder, err := os.MkdirTemp("", "tti-converted")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	f.folder, f.paths = folder, make(map[string]string)
	return tests()
}

// Path returns the path of a model directory's .tti file. Directories are told apart by the last part of their paths.
func (f *Files) Path(t testing.TB, directory string, o convert.Options) string {
	t.Helper()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	name := fmt.Sprintf("%s-%s-%s.tti", filepath.Base(directory), o.Mode, o.Int4)
	if f.paths[name] == "" {
		path := filepath.Join(f.folder, name)
		o.NoSync = true
		if err := convert.Convert(context.Background(), directory, path, o); err != nil {
			t.Fatal(err)
		}
		f.paths[name] = path
	}
	return f.paths[name]
}
