package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/lockfile"
)

// folder is one repository's place in the cache. Its layout belongs to HuggingFace:
//
//	{root}/models--organization--name/
//	    blobs/{etag}                 contents, named by SHA-256 (large files) or git's SHA-1
//	    blobs/{etag}.incomplete      a download under way or broken off
//	    snapshots/{commit}/{file}    a relative symbolic link to the blob
//	    refs/{revision}              the commit a branch or tag stood at
//	{root}/.locks/models--organization--name/{etag}.lock
type folder struct {
	root string // absolute
	name string // "models--organization--name"
}

func newFolder(root, repository string) (folder, error) {
	root, err := filepath.Abs(root)
	return folder{root, "models--" + strings.ReplaceAll(repository, "/", "--")}, err
}

func (f folder) blob(etag string) string {
	return filepath.Join(f.root, f.name, "blobs", etag)
}

func (f folder) snapshot(commit string) string {
	return filepath.Join(f.root, f.name, "snapshots", commit)
}

// pointer is the place where readers look for a file.
func (f folder) pointer(commit, file string) string {
	return filepath.Join(f.snapshot(commit), filepath.FromSlash(file))
}

func (f folder) ref(revision string) string {
	return filepath.Join(f.root, f.name, "refs", filepath.FromSlash(revision))
}

// holds tells whether the cache has the file; since only whole files get there, it can be used as it is.
func (f folder) holds(commit, file string) bool {
	return isRegular(f.pointer(commit, file))
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// commit returns the commit the cache knows for a revision.
func (f folder) commit(revision string) (string, error) {
	if IsCommit(revision) {
		return revision, nil
	}
	content, err := os.ReadFile(f.ref(revision))
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(content))
	if !IsCommit(commit) {
		return "", fmt.Errorf("%s: %q is not a commit", f.ref(revision), commit)
	}
	return commit, nil
}

// remember records the commit a revision stands at, unless it is the commit or is recorded already.
func (f folder) remember(ctx context.Context, revision, commit string, t timing) error {
	if known, err := f.commit(revision); err == nil && known == commit {
		return nil
	}
	path := f.ref(revision)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	lock, err := f.lock(ctx, revision, t) // two that replace a file at once are refused
	if err != nil {
		return err
	}
	defer lock.Remove()
	return replace(path, strings.NewReader(commit))
}

// cached returns the files of a model that the cache holds whole, or an error that says what is missing.
func (f folder) cached(revision string) (Snapshot, error) {
	commit, err := f.commit(revision)
	if err != nil {
		return Snapshot{}, err
	}
	entries, err := os.ReadDir(f.snapshot(commit))
	if err != nil {
		return Snapshot{}, err
	}
	var names []string
	for _, entry := range entries {
		if f.holds(commit, entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	files, sharded, err := choose(names)
	if err != nil {
		return Snapshot{}, err
	}
	if sharded {
		parts, err := shards(f.pointer(commit, modelfiles.Index))
		if err != nil {
			return Snapshot{}, fmt.Errorf("%s: %w", modelfiles.Index, err)
		}
		for _, part := range parts {
			if !f.holds(commit, part) {
				return Snapshot{}, fmt.Errorf("%s: %w", part, ErrNotFound)
			}
		}
		files = append(files, parts...)
	}
	return Snapshot{Directory: f.snapshot(commit), Commit: commit, Files: files}, nil
}

// lock waits until no other process works on what has this name, a blob or a revision. Python's
// huggingface_hub locks blobs in the same way.
func (f folder) lock(ctx context.Context, name string, t timing) (*lockfile.Lock, error) {
	path := filepath.Join(f.root, ".locks", f.name, filepath.FromSlash(name)+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	return lockfile.Wait(ctx, path, t.lockPoll)
}

// A linker makes a blob visible under a second name without copying it.
type linker func(blob, pointer string) error

// linkers are tried in turn. Windows without developer mode allows no symbolic links.
var linkers = []linker{symbolicLink, os.Link}

// symbolicLink makes a relative link, so that the cache can be moved.
func symbolicLink(blob, pointer string) error {
	target, err := filepath.Rel(filepath.Dir(pointer), blob)
	if err != nil {
		return err
	}
	return os.Symlink(target, pointer)
}

// publish makes a whole blob visible under its file name: by the first linker that works, else by a copy.
func (f folder) publish(etag, commit, file string, linkers []linker) error {
	blob, pointer := f.blob(etag), f.pointer(commit, file)
	if err := os.MkdirAll(filepath.Dir(pointer), 0o777); err != nil {
		return err
	}
	// What is there is at most a link whose blob has been deleted.
	if err := os.Remove(pointer); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, link := range linkers {
		if link(blob, pointer) == nil {
			return nil
		}
	}
	content, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer content.Close()
	return replace(pointer, content)
}

// replace writes a file so that it is always either old or new.
func replace(path string, content io.Reader) error {
	return format.Replace(path, false, func(file *os.File) error {
		_, err := io.Copy(file, content)
		return err
	})
}
