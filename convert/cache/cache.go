// Package cache keeps models of the hub as .tti files in the user's cache directory: one is made when it is first
// asked for, and found there afterwards by all commands, without a question to the hub.
//
// What is guaranteed: a file bears its name only when it is whole, and its contents are under its own checksums;
// two processes do not make one at once; what a revision stands for changes only when [Cache.Get] is told to update.
//
// What it never does: download, convert, print, or touch HuggingFace's cache. The caller's [Maker] does the work.
//
// Start reading at [Cache.Get].
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/hub"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/lockfile"
)

var (
	// ErrBusy: another process is making a file of the repository.
	ErrBusy = errors.New("another process is converting it")
	// ErrAbsent: the cache has nothing of what is named.
	ErrAbsent = errors.New("not in the cache")
)

// lockPoll is the time between looks at a lock that another process holds.
const lockPoll = 200 * time.Millisecond

// A Cache is a directory of models.
type Cache struct {
	Directory string // absolute
}

// User returns the cache of the user, which need not exist yet.
func User() (Cache, error) {
	directory, err := os.UserCacheDir()
	return Cache{filepath.Join(directory, "tti", "models")}, err
}

// A Model is a file in the cache.
type Model struct {
	ID        string    `json:"id"`        // of the repository
	Revisions []string  `json:"revisions"` // that stand for its commit
	Commit    string    `json:"commit"`    // hash
	Mode      string    `json:"mode"`
	Bytes     int64     `json:"bytes"`
	Path      string    `json:"path"`
	Used      time.Time `json:"used"` // when it was last asked for
}

// A Maker brings what the cache lacks.
type Maker struct {
	Commit  func(context.Context, hub.Reference) (string, error) // what a revision stands for now
	Fetch   func(context.Context, hub.Reference) (convert.Source, error)
	Convert func(ctx context.Context, source convert.Source, target string) error
	Waiting func() // called before another process is waited for; may be nil
}

// Get returns the file of a model in a mode, which must be fit for the name of a file. If the cache has none, it is made. A revision stands for the
// commit that it stood for when it was first asked for, until update asks what it stands for now.
func (c Cache) Get(ctx context.Context, r hub.Reference, mode string, update bool, m Maker) (Model, error) {
	f := c.repository(r.Repository)
	find := func() (Model, bool) {
		commit, err := f.commit(r)
		if update || err != nil {
			return Model{}, false
		}
		return f.use(commit, mode)
	}
	if found, ok := find(); ok {
		return found, nil
	}
	lock, err := f.lock(ctx, m.Waiting)
	if err != nil {
		return Model{}, err
	}
	defer lock.Remove()
	if found, ok := find(); ok { // another process was faster
		return found, nil
	}
	commit, err := f.make(ctx, r, mode, update, m)
	if err != nil {
		return Model{}, err
	}
	made, ok := f.use(commit, mode)
	if !ok {
		return Model{}, fmt.Errorf("%s: %w, although it was made", f.file(commit, mode), ErrAbsent)
	}
	return made, nil
}

// Commit returns the commit that a revision stands for in the cache, ErrAbsent if it was not asked for yet.
func (c Cache) Commit(r hub.Reference) (string, error) { return c.repository(r.Repository).commit(r) }

// Models returns what the cache has, by repository, commit and mode.
func (c Cache) Models() ([]Model, error) {
	entries, err := os.ReadDir(c.Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Model
	for _, entry := range entries {
		id := strings.ReplaceAll(entry.Name(), separator, "/")
		if _, err := hub.ParseReference(id); err != nil || !entry.IsDir() {
			continue
		}
		models, err := c.repository(id).models()
		if err != nil {
			return nil, err
		}
		all = append(all, models...)
	}
	return all, err
}

// Remove removes the files of a repository, of the revision alone if there is one, in the mode alone if that is not empty, and what
// conversions that were killed have left of them. It returns what has been removed; ErrBusy if a process is making one. Who has a file
// open keeps it, except on Windows, where an open file cannot be removed.
func (c Cache) Remove(r hub.Reference, mode string) ([]Model, error) {
	f := c.repository(r.Repository)
	_, noModels := os.Stat(f.directory)
	_, noLock := os.Stat(f.lockPath())
	if errors.Is(noModels, fs.ErrNotExist) && errors.Is(noLock, fs.ErrNotExist) {
		return nil, ErrAbsent
	}
	lock, err := lockfile.Try(f.lockPath())
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, ErrBusy
	}
	if err != nil {
		return nil, err
	}
	defer lock.Remove()
	return f.remove(r, mode)
}

// Holder returns the model whose file in the cache a path is, and whether it is one.
func (c Cache) Holder(path string) (r hub.Reference, mode string, ok bool) {
	relative, err := filepath.Rel(c.Directory, path)
	parts := strings.Split(filepath.ToSlash(relative), "/")
	if err != nil || len(parts) != 3 {
		return r, "", false
	}
	mode, ok = strings.CutSuffix(parts[2], extension)
	return hub.Reference{Repository: strings.ReplaceAll(parts[0], separator, "/"), Revision: parts[1]}, mode, ok
}

// make brings the file of a model and returns the commit that it is of. The revision is recorded last.
func (f repository) make(ctx context.Context, r hub.Reference, mode string, update bool, m Maker) (string, error) {
	if known, err := f.commit(r); err == nil && !update {
		r.Revision = known // in all modes the revision stands for one commit
	} else if now, err := m.Commit(ctx, r); err == nil && usable(f.file(now, mode)) {
		return now, f.remember(r, now)
	}
	source, err := m.Fetch(ctx, r)
	if err != nil {
		return "", err
	}
	if path := f.file(source.Commit, mode); !usable(path) {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return "", err
		}
		if err := m.Convert(ctx, source, path); err != nil {
			f.clear()
			return "", err
		}
	}
	return source.Commit, f.remember(r, source.Commit)
}

// usable reports whether a file is there with a header and an index that are as they should be. The sums of its contents
// are for those who open it.
func usable(path string) bool {
	file, err := format.Open(path)
	if err != nil {
		return false
	}
	return file.Close() == nil
}

// remember records the commit that a revision stands for.
func (f repository) remember(r hub.Reference, commit string) error {
	path := f.ref(r.Revision)
	if known, err := f.commit(r); err == nil && known == commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return format.Replace(path, false, func(file *os.File) error {
		_, err := io.WriteString(file, commit+"\n")
		return err
	})
}

func (f repository) remove(r hub.Reference, mode string) (removed []Model, err error) {
	if _, err := os.Stat(f.directory); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrAbsent
	}
	models, err := f.models()
	if err != nil {
		return nil, err
	}
	commit := ""
	if r.Revision != "" {
		if commit, err = f.commit(r); err != nil {
			return nil, ErrAbsent
		}
	}
	chosen := slices.DeleteFunc(models, func(m Model) bool {
		return commit != "" && m.Commit != commit || mode != "" && m.Mode != mode
	})
	if len(chosen) == 0 && (commit != "" || mode != "") {
		return nil, ErrAbsent
	}
	for _, m := range chosen {
		if err := os.Remove(m.Path); err != nil {
			return removed, err
		}
		removed = append(removed, m)
	}
	return removed, f.clear()
}
