package cache

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tti-llm/tti/convert/hub"
	"github.com/tti-llm/tti/format/lockfile"
)

// repository is the place of a repository's files:
//
//	{directory of the cache}/organization--name/
//	    {commit}/{mode}.tti     a model
//	    {commit}/{mode}.used    empty; when it was written is when the model was last asked for
//	    refs/{revision}         the commit that it stands for; slashes are escaped
//	{directory of the cache}/organization--name.lock
type repository struct {
	id        string
	directory string
}

const (
	separator = "--" // of organization and name, which have none
	extension = ".tti"
	usage     = ".used"
	refs      = "refs"
)

func (c Cache) repository(id string) repository {
	return repository{id, filepath.Join(c.Directory, strings.ReplaceAll(id, "/", separator))}
}

func (f repository) lockPath() string { return f.directory + ".lock" }

func (f repository) file(commit, mode string) string {
	return filepath.Join(f.directory, commit, mode+extension)
}

func (f repository) mark(commit, mode string) string {
	return filepath.Join(f.directory, commit, mode+usage)
}

func (f repository) ref(revision string) string {
	return filepath.Join(f.directory, refs, url.PathEscape(cmp.Or(revision, hub.DefaultRevision)))
}

// lock waits until no other process makes a file of the repository.
func (f repository) lock(ctx context.Context, waiting func()) (*lockfile.Lock, error) {
	if err := os.MkdirAll(filepath.Dir(f.directory), 0o777); err != nil {
		return nil, err
	}
	lock, err := lockfile.Try(f.lockPath())
	if !errors.Is(err, lockfile.ErrHeld) {
		return lock, err
	}
	if waiting != nil {
		waiting()
	}
	return lockfile.Wait(ctx, f.lockPath(), lockPoll)
}

// commitBeginning is what people write for a commit.
var commitBeginning = regexp.MustCompile(`^[0-9a-f]{7,63}$`)

// commit returns the commit that a revision stands for here, ErrAbsent if it was not asked for yet. A commit may be shortened.
func (f repository) commit(r hub.Reference) (string, error) {
	if hub.IsCommit(r.Revision) {
		return r.Revision, nil
	}
	content, err := os.ReadFile(f.ref(r.Revision))
	if commit := strings.TrimSpace(string(content)); err == nil && hub.IsCommit(commit) {
		return commit, nil
	}
	if commitBeginning.MatchString(r.Revision) {
		entries, _ := os.ReadDir(f.directory) // there may be none
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), r.Revision) })
		if len(entries) == 1 {
			return entries[0].Name(), nil
		}
	}
	return "", ErrAbsent
}

// use returns a model and notes that it was asked for, if it is there.
func (f repository) use(commit, mode string) (Model, bool) {
	path := f.file(commit, mode)
	if !usable(path) {
		return Model{}, false
	}
	now, mark := time.Now(), f.mark(commit, mode)
	// In a cache that cannot be written, models can be used without being noted.
	if err := os.Chtimes(mark, now, now); errors.Is(err, fs.ErrNotExist) {
		os.WriteFile(mark, nil, 0o666)
	}
	found, err := f.model(commit, mode, f.revisions())
	return found, err == nil
}

func (f repository) model(commit, mode string, revisions map[string][]string) (Model, error) {
	path := f.file(commit, mode)
	info, err := os.Stat(path)
	if err != nil {
		return Model{}, err
	}
	used := info.ModTime()
	if mark, err := os.Stat(f.mark(commit, mode)); err == nil {
		used = mark.ModTime()
	}
	return Model{f.id, append([]string{}, revisions[commit]...), commit, mode, info.Size(), path, used.UTC()}, nil
}

// revisions returns the revisions that stand for each commit.
func (f repository) revisions() map[string][]string {
	of := map[string][]string{}
	entries, _ := os.ReadDir(filepath.Join(f.directory, refs)) // there may be none
	for _, entry := range entries {
		revision, err := url.PathUnescape(entry.Name())
		if err != nil {
			continue
		}
		if commit, err := f.commit(hub.Reference{Repository: f.id, Revision: revision}); err == nil {
			of[commit] = append(of[commit], revision)
		}
	}
	return of
}

// models returns the repository's models. Those that are removed meanwhile may be missing.
func (f repository) models() (all []Model, err error) {
	entries, err := os.ReadDir(f.directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	revisions := f.revisions()
	for _, entry := range entries {
		if !entry.IsDir() || !hub.IsCommit(entry.Name()) {
			continue
		}
		files, err := os.ReadDir(filepath.Join(f.directory, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, file := range files {
			mode, ok := strings.CutSuffix(file.Name(), extension)
			if !ok || !file.Type().IsRegular() {
				continue
			}
			if found, err := f.model(entry.Name(), mode, revisions); err == nil {
				all = append(all, found)
			}
		}
	}
	return all, nil
}

// clear removes what serves no model: what killed conversions have left, and revisions and commits without one. The lock is held.
func (f repository) clear() error {
	models, err := f.models()
	if err != nil {
		return err
	}
	if len(models) == 0 {
		return os.RemoveAll(f.directory)
	}
	commits, names := map[string]bool{}, map[string]bool{}
	for _, m := range models {
		commits[m.Commit] = true
		names[m.Path], names[f.mark(m.Commit, m.Mode)] = true, true
	}
	entries, err := os.ReadDir(f.directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(f.directory, entry.Name())
		switch {
		case entry.Name() == refs || !entry.IsDir():
		case commits[entry.Name()]:
			err = errors.Join(err, removeOthers(path, names))
		default:
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	for commit, revisions := range f.revisions() {
		for _, revision := range revisions {
			if !commits[commit] {
				err = errors.Join(err, os.Remove(f.ref(revision)))
			}
		}
	}
	return err
}

// removeOthers removes what is in a directory but the names.
func removeOthers(directory string, names map[string]bool) error {
	entries, err := os.ReadDir(directory)
	for _, entry := range entries {
		if path := filepath.Join(directory, entry.Name()); !names[path] {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}
