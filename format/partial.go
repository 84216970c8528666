package format

import (
	"errors"
	"fmt"
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
	p := &partial{path, lock}
	if _, err := os.Lstat(path); err == nil && !lock.Found() {
		lock.Remove()
		return nil, fmt.Errorf("%s is in the way; no process that was killed has left it", path)
	}
	// What a killed process has left is removed, not reused, lest it be a link to something else.
	if err := os.RemoveAll(path); err != nil {
		lock.Remove()
		return nil, err
	}
	return p, nil
}

// discard removes what has not been published, and then the lock. It is for every way out.
func (p *partial) discard() {
	os.RemoveAll(p.path)
	p.lock.Remove()
}
