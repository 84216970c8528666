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
	Name      string // what it was found by, which is what errors call it
	Directory string
	Local     bool // Directory is what the name says, and not HuggingFace's cache of downloads

	// Of a download: the commit it is of and, if the hub could not be asked whether the name still stands
	// for that commit, the reason.
	Commit      string
	Unconfirmed error
}

// Resolve finds the model directory that a name stands for: the local directory of that name or, if
// there is none, the model of that name on the HuggingFace hub, such as gpt2, org/name or
// org/name@revision, which is downloaded into HuggingFace's own cache unless it is there. A model that cannot be
// converted is refused before its weights are downloaded. download, if not nil, is told how the downloads go on.
func Resolve(ctx context.Context, name string, download hub.Progress) (Source, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return Source{Name: name, Directory: name, Local: true}, ctx.Err()
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
	var unsupported error
	client.Accept = func(directory string) error {
		unsupported = checkSupported(directory)
		return unsupported
	}
	snapshot, err := client.Fetch(ctx, reference, download)
	switch {
	case unsupported != nil:
		return Source{}, unsupported
	case errors.Is(err, hub.ErrOffline):
		return Source{}, fmt.Errorf("no such directory, and %w; HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set", err)
	case err != nil:
		return Source{}, fmt.Errorf("no such directory, and %w", err)
	}
	return Source{Name: name, Directory: snapshot.Directory, Commit: snapshot.Commit, Unconfirmed: snapshot.Unconfirmed}, nil
}

// checkSupported refuses a model by all that its directory says without the weights: configuration and tokenizer.
func checkSupported(directory string) error {
	m := &model{directory: directory}
	defer m.close()
	if err := m.readConfigs(); err != nil {
		return err
	}
	p := newPlanner(nil)
	if _, _, err := m.ask(p); err != nil && p.err == nil { // otherwise it follows from the absence of the weights
		return err
	}
	_, err := m.tokenizer(p.tokenizer)
	return err
}
