package format

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// syncDirectory does nothing: Windows keeps renames in the journal of the file system and has no
// call to sync a directory.
func syncDirectory(string) error { return nil }

// renameDirectory gives a directory the name of nothing or of an empty directory, which must not be a
// link. Windows replaces no directory, so there is a moment without one; what appears in it is not
// replaced, either.
func renameDirectory(from, to string) error {
	syscall.Rmdir(to) // fails for files and full directories, which then are in the way
	source, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	target, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(source, target, 0); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
