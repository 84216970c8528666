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
//
// A target that is a symbolic link stays one: the file that it names is replaced, or created where
// it names none. The new file has the permissions of the old one, and never others on the way.
func Replace(path string, noSync bool, write func(file *os.File) error) error {
	target, mode, err := checkTarget(path)
	if err != nil {
		return err
	}
	p, err := newPartial(target)
	if err != nil {
		return err
	}
	defer p.discard()
	file, err := createPartial(p.path, mode)
	if err != nil {
		return err
	}
	defer file.Close() // an error only if all is well
	if err := write(file); err != nil {
		return err
	}
	if !noSync {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.path, target); err != nil {
		return err
	}
	if noSync {
		return nil
	}
	return syncDirectory(filepath.Dir(target))
}

// createPartial creates an empty file with the permissions of the one that it is to replace, or with
// those of a new one if mode is 0. What the process masks from new files, it adds afterwards.
func createPartial(path string, mode fs.FileMode) (*os.File, error) {
	created := mode
	if mode == 0 {
		created = 0o666
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, created)
	if err != nil || mode == 0 {
		return file, err
	}
	if err := file.Chmod(mode); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// CheckTarget says why Write or Replace would refuse a target, for callers with long work to do before.
// That the directory takes new files only they find out.
func CheckTarget(path string) error {
	_, _, err := checkTarget(path)
	return err
}

// checkTarget says why a target cannot be written, or returns what it is after all links, and the
// permissions of the file that is there already, or 0. It asks what a rename would not: a rename
// replaces read-only files and devices.
func checkTarget(path string) (target string, mode fs.FileMode, err error) {
	if path == "" {
		return "", 0, errors.New("the name of the file is empty")
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", 0, err
	case info.IsDir():
		return "", 0, errors.New("is a directory, want a file")
	case !info.Mode().IsRegular():
		return "", 0, errors.New("is not a regular file")
	case info.Mode().Perm()&0o222 == 0:
		return "", 0, fmt.Errorf("is read-only: %w", fs.ErrPermission)
	default:
		mode = info.Mode().Perm()
	}
	if target, err = followLinks(path); err != nil {
		return "", 0, err
	}
	directory := filepath.Dir(target)
	switch info, err := os.Stat(directory); {
	case errors.Is(err, fs.ErrNotExist):
		return "", 0, fmt.Errorf("directory %s: %w", directory, fs.ErrNotExist)
	case err != nil:
		return "", 0, err
	case !info.IsDir():
		return "", 0, fmt.Errorf("%s is not a directory", directory)
	}
	return target, mode, nil
}

// followLinks returns what a path names after all links, if need be something that does not exist.
func followLinks(path string) (string, error) {
	for range 100 { // os.Stat has found no circle; one may have been made since
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link
		}
		if !filepath.IsAbs(link) {
			directory, _ := filepath.Split(path)
			link = directory + link
		}
		// Only the system knows what ".." means behind a link to a directory.
		directory, name := filepath.Split(link)
		if directory != "" {
			if directory, err = filepath.EvalSymlinks(directory); err != nil {
				return "", err
			}
		}
		path = filepath.Join(directory, name)
	}
	return "", fmt.Errorf("%s: too many links", path)
}
