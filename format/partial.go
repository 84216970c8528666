package format

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tti-llm/tti/format/lockfile"
)

// partial is the place beside a target where it comes into being: it gets the target's name when it
// is whole. A lock, held from before it is made until it is published or gone, keeps two writers of
// one target apart; the system releases it if the process dies, and what lies around is then the
// next writer's to remove.
type partial struct {
	path string
	lock *lockfile.Lock
	made bool // what is there is this one's, and not published
}

// newPartial returns the place for a target, with nothing there yet. It must be discarded.
func newPartial(target string) (*partial, error) {
	path := target + ".partial"
	lock, err := lockfile.Try(path + ".lock")
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, errors.New("another process is writing it")
	}
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil && !lock.Found() {
		lock.Remove()
		return nil, fmt.Errorf("%s is in the way; no process that was killed has left it", path)
	}
	// What a killed process has left is removed, not reused, lest it be a link to something else.
	if err := os.RemoveAll(path); err != nil {
		lock.Remove()
		return nil, err
	}
	return &partial{path: path, lock: lock}, nil
}

// createFile creates an empty file with the permissions of the one that it is to replace, or with
// those of a new one if mode is 0. What the process masks from new files is added afterwards.
func (p *partial) createFile(mode fs.FileMode) (*os.File, error) {
	file, err := os.OpenFile(p.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, cmp.Or(mode, 0o666))
	if err != nil {
		return nil, err
	}
	p.made = true
	if mode != 0 {
		if err := file.Chmod(mode); err != nil {
			file.Close()
			return nil, err
		}
	}
	return file, nil
}

// createDirectory creates an empty directory.
func (p *partial) createDirectory(permissions fs.FileMode) error {
	err := os.Mkdir(p.path, permissions)
	p.made = err == nil
	return err
}

// discard removes what has not been published, and then the lock. It is for every way out.
func (p *partial) discard() {
	if p.made {
		os.RemoveAll(p.path)
	}
	p.lock.Remove()
}
