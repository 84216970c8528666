package format

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists is wrapped by the error about the target of CreateDirectory if anything but an empty
// directory is there.
var ErrExists = errors.New("exists")

// CreateDirectory creates the directory at path with all that fill puts into it, at once and
// completely, or not at all, as Replace does a file. It replaces nothing but an empty directory, whose
// permissions the new one gets, whatever appears there in the meantime; it follows no link. What fill
// writes it must sync itself.
func CreateDirectory(path string, fill func(directory string) error) error {
	path = filepath.Clean(path)
	permissions := fs.FileMode(0o777)
	switch empty, err := checkVacant(path); {
	case err != nil:
		return err
	case empty != nil:
		permissions = empty.Mode().Perm() | 0o700 // fill must be able to work there
	}
	p, err := newPartial(path)
	if err != nil {
		return err
	}
	defer p.discard()
	if err := os.Mkdir(p.path, permissions); err != nil {
		return err
	}
	if err := fill(p.path); err != nil {
		return err
	}
	switch empty, err := checkVacant(path); { // renaming checks that again, but has no good words for it
	case err != nil:
		return err
	case empty != nil:
		if err := os.Chmod(p.path, empty.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := syncDirectory(p.path); err != nil {
		return err
	}
	if err := renameDirectory(p.path, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// checkVacant says why a directory cannot be created at a cleaned path, or returns the empty one that
// is there, or nil.
func checkVacant(path string) (fs.FileInfo, error) {
	if name := filepath.Base(path); name == "." || name == ".." || os.IsPathSeparator(name[0]) {
		return nil, fmt.Errorf("%s: is not the name of a new directory", path)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: %w and is not a directory", path, ErrExists)
	}
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s: %w and is not empty", path, ErrExists)
	}
	return info, err
}
