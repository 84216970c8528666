package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrFolder is wrapped where a directory holds files of the names that a report has, and no report.
var ErrFolder = errors.New("is no report's")

// fileNames are all files that a report may have, report.json last.
func fileNames() (names []string) {
	for _, c := range charts {
		names = append(names, c.name+".png", c.name+".svg")
	}
	return append(names, MarkdownName, JSONName)
}

// Check says whether Write would write into a directory: one that is not there yet, that holds an earlier report, or nothing by the names of
// a report's files. Otherwise it fails with ErrFolder.
func Check(directory string) error {
	if info, err := os.Stat(directory); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s: %w directory, but a file", directory, ErrFolder)
	}
	if r, err := Read(directory); err == nil && len(r.Modes) > 0 {
		return nil
	}
	for _, name := range fileNames() {
		if _, err := os.Lstat(filepath.Join(directory, name)); err == nil {
			return fmt.Errorf("%s: %w, and would be replaced; want a new directory, or one with an earlier report", filepath.Join(directory, name), ErrFolder)
		}
	}
	return nil
}

// clear removes the files of an earlier report, which may be more than the new one has.
func clear(directory string) error {
	for _, name := range fileNames() {
		if err := os.Remove(filepath.Join(directory, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
