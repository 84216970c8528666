// Package lockfile keeps processes apart that would do the same thing, by locks on files. The system
// releases a lock when the process that holds it dies, however that happens; its file stays.
//
// Start reading at Try and Wait.
package lockfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// ErrHeld is what Try returns if another process has the lock, or this one has it already.
var ErrHeld = errors.New("another process holds the lock")

// Lock is a lock that is held.
type Lock struct {
	flock *flock.Flock
	found bool
}

// Try takes the lock on the file at path, which it creates if it is missing, or fails at once. Only a
// regular file can be locked: a link is not followed.
func Try(path string) (*Lock, error) {
	return acquire(path, (*flock.Flock).TryLock)
}

// Wait takes the lock as Try does, but waits for it, and looks after every interval.
func Wait(ctx context.Context, path string, interval time.Duration) (*Lock, error) {
	return acquire(path, func(f *flock.Flock) (bool, error) { return f.TryLockContext(ctx, interval) })
}

// acquire opens the file and has lock lock it, again and again if others create and remove it
// meanwhile.
func acquire(path string, lock func(*flock.Flock) (bool, error)) (*Lock, error) {
	for range 100 {
		f := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE|os.O_EXCL), flock.SetPermissions(0o666))
		ok, err := lock(f)
		found := errors.Is(err, fs.ErrExist)
		refused := (*fs.PathError)(nil)
		if !found && errors.As(err, &refused) {
			return nil, fmt.Errorf("create a file in %s: %w", filepath.Dir(path), refused.Err)
		}
		if found {
			if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
				return nil, fmt.Errorf("lock %s: is not a regular file", path)
			}
			f = flock.New(path, flock.SetFlag(os.O_RDWR|noFollow))
			if ok, err = lock(f); errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if errors.As(err, &refused) {
			err = refused.Err // it names the path, too
		}
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !ok {
			return nil, ErrHeld
		}
		// Others remove the file of a lock while they hold it. Who opened that file before and gets the
		// lock after has a lock on nothing, and tries again.
		held, heldErr := f.Stat()
		named, namedErr := os.Lstat(path)
		if heldErr == nil && namedErr == nil && held.Mode().IsRegular() && os.SameFile(held, named) {
			return &Lock{f, found}, nil
		}
		f.Unlock()
	}
	return nil, fmt.Errorf("lock %s: the file does not keep its identity", path)
}

// Found reports whether the file was there before. Where holders remove it, this one's predecessor
// did not get to that.
func (l *Lock) Found() bool { return l.found }

// Release releases the lock and leaves its file.
func (l *Lock) Release() error { return l.flock.Unlock() }

// Remove removes the file of the lock and releases it, in that order where the system can remove an
// open file. Windows cannot; there another process may take the lock in between, and then it is the
// removal that fails, as it should.
func (l *Lock) Remove() {
	err := os.Remove(l.flock.Path())
	l.flock.Unlock()
	if err != nil {
		os.Remove(l.flock.Path())
	}
}
