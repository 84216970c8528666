//go:build !windows

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
