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

// Download is who is told of a download. Both may be nil.
type Download struct {
	Plan     func(hub.Plan) // what is going to be downloaded, before weights are
	Progress hub.Progress
}

// Resolve finds the model directory that a name stands for: the local directory of that name or, if
// there is none, the model of that name on the HuggingFace hub, see [Fetch].
func Resolve(ctx context.Context, name string, download Download) (Source, error) {
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
		if errors.Is(err, hub.ErrAddress) {
			return Source{}, err
		}
		return Source{}, errors.New("no such directory")
	}
	source, err := Fetch(ctx, reference, download)
	if errors.As(err, new(*DownloadError)) {
		return Source{}, fmt.Errorf("no such directory, and %w", err)
	}
	source.Name = name
	return source, err
}

// DownloadError says why a model did not come from the hub. Other errors of Fetch are about a model that cannot be converted.
type DownloadError struct{ Err error }

func (e *DownloadError) Error() string { return e.Err.Error() }
func (e *DownloadError) Unwrap() error { return e.Err }

// Fetch downloads a model of the HuggingFace hub into HuggingFace's own cache, unless it is there. A model that cannot be
// converted is refused before its weights are downloaded.
func Fetch(ctx context.Context, reference hub.Reference, download Download) (Source, error) {
	client, err := hub.FromEnvironment()
	if err != nil {
		return Source{}, &DownloadError{err}
	}
	var unsupported error
	client.Accept = func(plan hub.Plan) error {
		if unsupported = checkSupported(plan.Directory); unsupported == nil && download.Plan != nil {
			download.Plan(plan)
		}
		return unsupported
	}
	snapshot, err := client.Fetch(ctx, reference, download.Progress)
	switch {
	case unsupported != nil:
		return Source{}, unsupported
	case errors.Is(err, hub.ErrOffline):
		return Source{}, &DownloadError{fmt.Errorf("%w; HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set", err)}
	case err != nil:
		return Source{}, &DownloadError{err}
	}
	return Source{Name: reference.String(), Directory: snapshot.Directory, Commit: snapshot.Commit, Unconfirmed: snapshot.Unconfirmed}, nil
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
