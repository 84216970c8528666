package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Source is where the files of a model lie.
type Source struct {
	Directory string
	Local     bool // Directory is what the name says; otherwise it is in the hub's cache
}

// Resolve finds the model directory that a name stands for: the local directory of that name, or
// else the hub's model of that id.
func Resolve(ctx context.Context, name string) (Source, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return Source{Directory: name, Local: true}, nil
	case err == nil:
		return Source{}, errors.New("is a file, want a model directory")
	case !errors.Is(err, fs.ErrNotExist):
		return Source{}, plain(err)
	}
	return Source{}, fmt.Errorf("no such directory")
}
