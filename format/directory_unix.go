//go:build unix

package format

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// syncDirectory makes a rename in a directory last through a loss of power. Where the file system
// or the permissions do not allow that, the rename is no less atomic, and that is not an error.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer directory.Close()
	err = directory.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// renameDirectory gives a directory the name of nothing or of an empty directory, which it replaces.
// The system itself refuses all else, links included; os.Rename would refuse empty directories too.
func renameDirectory(from, to string) error {
	err := renameUninterrupted(from, to)
	if errors.Is(err, fs.ErrExist) && syscall.Rmdir(to) == nil { // not every file system replaces directories
		err = renameUninterrupted(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func renameUninterrupted(from, to string) error {
	for {
		if err := syscall.Rename(from, to); err != syscall.EINTR {
			return err
		}
	}
}
