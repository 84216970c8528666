package format

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// temporary is the file beside a target that becomes the target when it is whole. A lock, held
// from before the file is created until it is gone or published, keeps two writers of one target
// apart; the system releases it if the process dies, and what lies around is then the next
// writer's to replace.
type temporary struct {
	target string
	file   *os.File
	lock   *flock.Flock
}

// newTemporary creates an empty temporary file for a target that may be written.
func newTemporary(target string) (*temporary, error) {
	target, mode, err := checkTarget(target)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(target + ".partial.lock")
	if err != nil {
		return nil, err
	}
	// One that a killed process has left is removed, not reused, lest it be a link to another file.
	partial := target + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		unlockFile(lock)
		return nil, err
	}
	file, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		unlockFile(lock)
		return nil, err
	}
	t := &temporary{target: target, file: file, lock: lock}
	if mode != 0 {
		if err := file.Chmod(mode); err != nil {
			t.discard()
			return nil, err
		}
	}
	return t, nil
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
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		directory := filepath.Dir(path)
		switch info, err := os.Stat(directory); {
		case errors.Is(err, fs.ErrNotExist):
			return "", 0, fmt.Errorf("directory %s: %w", directory, fs.ErrNotExist)
		case err != nil:
			return "", 0, err
		case !info.IsDir():
			return "", 0, fmt.Errorf("%s is not a directory", directory)
		}
		return path, 0, nil
	}
	switch {
	case err != nil:
		return "", 0, err
	case info.IsDir():
		return "", 0, errors.New("is a directory, want a file")
	case !info.Mode().IsRegular():
		return "", 0, errors.New("is not a regular file")
	case info.Mode().Perm()&0o222 == 0:
		return "", 0, fmt.Errorf("is read-only: %w", fs.ErrPermission)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", 0, err
	}
	return path, info.Mode().Perm(), nil
}

// publish gives the finished file its name.
func (t *temporary) publish(sync bool) error {
	if sync {
		if err := t.file.Sync(); err != nil {
			return err
		}
	}
	if err := t.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(t.file.Name(), t.target); err != nil {
		return err
	}
	if sync {
		return syncDirectory(filepath.Dir(t.target))
	}
	return nil
}

// discard removes what publish has not published, and releases the lock. It is for every way out.
func (t *temporary) discard() {
	t.file.Close()           // an error only if publish has done it
	os.Remove(t.file.Name()) // likewise
	unlockFile(t.lock)
}

// lockFile takes the lock at path, which it creates, or fails at once if another holds it.
func lockFile(path string) (*flock.Flock, error) {
	// The holder of a lock removes its file. Whoever opened that file before and gets the lock
	// after has a lock on nothing, and tries again.
	for range 100 {
		lock := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o666))
		ok, err := lock.TryLock()
		if refused := (*fs.PathError)(nil); errors.As(err, &refused) {
			return nil, fmt.Errorf("create a file in %s: %w", filepath.Dir(path), refused.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !ok {
			return nil, errors.New("another process is writing it")
		}
		held, heldErr := lock.Stat()
		named, namedErr := os.Stat(path)
		if heldErr == nil && namedErr == nil && os.SameFile(held, named) {
			return lock, nil
		}
		lock.Unlock()
	}
	return nil, fmt.Errorf("lock %s: the file does not keep its identity", path)
}

// unlockFile removes the file of a lock and releases it, in that order where the system can remove
// an open file. Windows cannot; there another writer may take the lock in between, and then it is
// the removal that fails, as it should.
func unlockFile(lock *flock.Flock) {
	err := os.Remove(lock.Path())
	lock.Unlock()
	if err != nil {
		os.Remove(lock.Path())
	}
}
