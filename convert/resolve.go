package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tti-llm/tti/convert/hub"
)

// Source is where the files of a model lie.
type Source struct {
	Directory string
	Local     bool // Directory is what the name says, and not HuggingFace's cache of downloads

	// Of a download: the commit it is of and, if the hub could not be asked whether the name still stands
	// for that commit, the reason.
	Commit      string
	Unconfirmed error
}

// Resolve finds the model directory that a name stands for: the local directory of that name or, if
// there is none, the model of that name on the HuggingFace hub, such as gpt2, org/name or
// org/name@revision, which is downloaded into HuggingFace's own cache unless it is there. download,
// if not nil, is told how the downloads go on.
func Resolve(ctx context.Context, name string, download hub.Progress) (Source, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return Source{Directory: name, Local: true}, ctx.Err()
	case err == nil:
		return Source{}, errors.New("is a file, want a model directory")
	case !errors.Is(err, fs.ErrNotExist):
		return Source{}, plain(err)
	}
	reference, err := hub.ParseReference(name)
	if err != nil { // a path, or a name the hub does not allow
		return Source{}, errors.New("no such directory")
	}
	client, err := hub.FromEnvironment()
	if err != nil {
		return Source{}, err
	}
	snapshot, err := client.Fetch(ctx, reference, download)
	switch {
	case errors.Is(err, hub.ErrOffline):
		return Source{}, fmt.Errorf("no such directory, and %w; HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set", err)
	case err != nil:
		return Source{}, fmt.Errorf("no such directory, and %w", err)
	}
	return Source{Directory: snapshot.Directory, Commit: snapshot.Commit, Unconfirmed: snapshot.Unconfirmed}, nil
}
