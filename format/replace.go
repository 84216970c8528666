package format

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace creates the file at path, or replaces it, at once and completely, or not at all: write
// fills a temporary file beside the target, which is then synced, unless noSync leaves that to the
// system, and given the target's name; then the directory is synced. On an error nothing is left
// behind and an existing target is as it was. If the process is killed, the next Replace of the
// same target clears up. A second process that writes the same target at the same time is refused.
// A target that is a symbolic link stays one.
func Replace(path string, noSync bool, write func(file *os.File) error) error {
	temporary, err := newTemporary(path)
	if err != nil {
		return err
	}
	defer temporary.discard()
	if err := write(temporary.file); err != nil {
		return err
	}
	return temporary.publish(!noSync)
}

// CreateDirectory creates the directory at path with all that fill puts into it, at once and
// completely, or not at all, as Replace does a file. A directory that is there already must be
// empty. What fill writes it must sync itself.
func CreateDirectory(path string, fill func(directory string) error) error {
	path = filepath.Clean(path)
	if err := checkVacant(path); err != nil {
		return err
	}
	partial := path + ".partial"
	lock, err := lockFile(partial + ".lock")
	if err != nil {
		return err
	}
	defer unlockFile(lock)
	// What a killed process has left. The lock says that nobody is at work there.
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.Mkdir(partial, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(partial) // unless it has been renamed
	if err := fill(partial); err != nil {
		return err
	}
	if err := syncDirectory(partial); err != nil {
		return err
	}
	// Not every system renames onto an empty directory.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// checkVacant says why a directory cannot be created, before any work is done.
func checkVacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s: exists and is not a directory", path)
	}
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s: directory is not empty", path)
	}
	return err
}
