package convert

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// Source is where the files of a model lie.
type Source struct {
	Directory string
	Local     bool // Directory is what the name says, and not a cache of downloads
}

// Resolve finds the model directory that a name stands for: the local directory of that name. It is
// the one place that decides what a name means, and where other kinds of sources belong; ctx is for
// those that take long.
func Resolve(ctx context.Context, name string) (Source, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return Source{Directory: name, Local: true}, ctx.Err()
	case err == nil:
		return Source{}, errors.New("is a file, want a model directory")
	case errors.Is(err, fs.ErrNotExist):
		return Source{}, errors.New("no such directory")
	}
	return Source{}, plain(err)
}
