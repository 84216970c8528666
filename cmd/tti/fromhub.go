package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/cache"
	"github.com/tti-llm/tti/convert/hub"
	"github.com/tti-llm/tti/format"
)

// hubHelp ends the help of commands that run a model.
const hubHelp = `

A MODEL is a .tti file or, where there is no file of that name, a model of the HuggingFace hub: org/name, org/name@revision
or the address of its page. It is downloaded and converted once, into the user's cache directory; tti list shows what is there.`

// registerHub adds the flag of commands that take models of the hub where a file is expected.
func (f *modeFlags) registerHub(cmd *cobra.Command) {
	f.registerMode(cmd, "how a model of the hub is encoded, as tti convert --mode has it")
}

// file returns the path of the .tti file that a name stands for, see files.
func (f *modeFlags) file(ctx context.Context, cmd *cobra.Command, name string) (string, error) {
	paths, err := f.files(ctx, cmd, name)
	if err != nil {
		return "", err
	}
	return paths[0], nil
}

// files returns the paths of the .tti files that names stand for: the names themselves, and for models of the hub the files in the cache, which
// are made if they are not there.
func (f *modeFlags) files(ctx context.Context, cmd *cobra.Command, names ...string) (paths []string, err error) {
	options, err := f.options(cmd)
	if err != nil {
		return nil, err
	}
	fromHub := false
	for _, name := range names {
		r, ok, err := hubReference(name)
		if err != nil {
			return nil, err
		}
		path := name
		if fromHub = fromHub || ok; ok {
			noteOtherModes(cmd, r, options)
			if path, err = cachedFile(ctx, cmd, r, options); err != nil {
				return nil, err
			}
		}
		paths = append(paths, path)
	}
	for _, flag := range []string{"mode", "int4"} {
		if !fromHub && cmd.Flags().Changed(flag) {
			return nil, usagef(cmd, "--%s is for models of the hub, %s is a file", flag, names[0])
		}
	}
	return paths, nil
}

// otherFile is files for a model beside the one that --mode is for.
func otherFile(ctx context.Context, cmd *cobra.Command, name string, o convert.Options) (string, error) {
	r, ok, err := hubReference(name)
	if !ok || err != nil {
		return name, err
	}
	return cachedFile(ctx, cmd, r, o)
}

// hubReference returns the model of the hub that a name stands for where a .tti file is expected, and whether it stands for one. What exists is no
// such name, nor is what looks like that of a file.
func hubReference(name string) (r hub.Reference, ok bool, err error) {
	if _, err := os.Lstat(name); err == nil || slices.Contains([]string{".tti", packedSuffix}, filepath.Ext(name)) {
		return r, false, nil
	}
	r, err = hub.ParseReference(name)
	switch {
	case errors.Is(err, hub.ErrAddress):
		return r, false, err
	case err != nil: // a path
		return r, false, nil
	case !strings.Contains(r.Repository, "/") && filepath.Ext(r.Repository) != "": // such as story.txt
		return r, false, nil
	}
	if _, err := os.Lstat(name + ".tti"); err == nil {
		return r, false, nil // mistaken tells of it
	}
	return r, true, nil
}

// cachedFile returns the file of a model of the hub, for those who would have taken a file of that name as well.
func cachedFile(ctx context.Context, cmd *cobra.Command, r hub.Reference, o convert.Options) (string, error) {
	found, err := fromCache(ctx, cmd, r, o, false)
	if errors.As(err, new(*convert.DownloadError)) && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%s: there is no such file, and %w", r, err)
	}
	return found.Path, err
}

// fromCache returns a model of the hub as a .tti file. If the cache has none, or has another one than the hub has now and update asks for that, it says so
// and makes it.
func fromCache(ctx context.Context, cmd *cobra.Command, r hub.Reference, o convert.Options, update bool) (cache.Model, error) {
	store, err := cache.User()
	if err != nil {
		return cache.Model{}, err
	}
	mode, err := o.ModeName()
	if err != nil {
		return cache.Model{}, err
	}
	return store.Get(ctx, r, mode, update, cache.Maker{
		Commit: func(ctx context.Context, r hub.Reference) (string, error) {
			client, err := hub.FromEnvironment()
			if err != nil {
				return "", err
			}
			return client.Commit(ctx, r)
		},
		Fetch: func(ctx context.Context, pinned hub.Reference) (convert.Source, error) {
			source, err := download(cmd, r.String(), func(d convert.Download) (convert.Source, error) {
				return convert.Fetch(ctx, pinned, d)
			})
			switch fromElsewhere := errors.As(err, new(*convert.DownloadError)); {
			case err != nil && !fromElsewhere:
				err = about(r.String(), err)
			case errors.Is(err, hub.ErrNotFound) && pinned != r:
				err = fmt.Errorf("%w; \"tti pull %s\" brings what it stands for now", err, r)
			}
			source.Name = r.String()
			return source, err
		},
		Convert: func(ctx context.Context, source convert.Source, target string) error {
			return workOn(source).run(ctx, cmd, target, o)
		},
		Waiting: func() {
			fmt.Fprintf(cmd.ErrOrStderr(), "tti: %s: another process is downloading or converting it; waiting for that\n", r)
		},
	})
}

// noteOtherModes says that the cache lacks a model in the mode that is the default, and has it in others.
func noteOtherModes(cmd *cobra.Command, r hub.Reference, o convert.Options) {
	store, err := cache.User()
	if err != nil || cmd.Flags().Changed("mode") {
		return
	}
	commit, err := store.Commit(r)
	models, modelsErr := store.Models()
	wanted, modeErr := o.ModeName()
	if err != nil || modelsErr != nil || modeErr != nil {
		return
	}
	var modes []string
	for _, m := range models {
		if m.ID == r.Repository && m.Commit == commit {
			modes = append(modes, m.Mode)
		}
	}
	if len(modes) > 0 && !slices.Contains(modes, wanted) {
		fmt.Fprintf(cmd.ErrOrStderr(), "tti: %s: the cache has %s, not %s; --mode %s takes what is there\n", r, strings.Join(modes, ", "), wanted, modes[0])
	}
}

// damaged says how a file of the cache that is damaged is made anew.
func damaged(path string, err error) error {
	if !errors.Is(err, format.ErrChecksum) && !errors.Is(err, format.ErrCorrupt) {
		return err
	}
	store, storeErr := cache.User()
	r, mode, ok := store.Holder(path)
	if storeErr != nil || !ok {
		return err
	}
	return fmt.Errorf("%w; \"tti rm %s --mode %s\" removes it, and the next use makes it again", err, r, mode)
}

// parseID reads a model of the hub where nothing else can be meant.
func parseID(name string) (hub.Reference, error) {
	r, err := hub.ParseReference(name)
	if err != nil {
		return r, fmt.Errorf("want a model of the hub, such as org/name: %w", err)
	}
	return r, nil
}

// named returns what people call a model of the cache.
func named(m cache.Model) string {
	return fmt.Sprintf("%s@%s", m.ID, cmp.Or(strings.Join(m.Revisions, ","), m.Commit[:7]))
}

// completeCached offers the models that are in the cache.
func completeCached(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	store, err := cache.User()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	models, _ := store.Models() // what cannot be read is not offered
	var ids []string
	for _, m := range models {
		ids = append(ids, m.ID)
	}
	return slices.Compact(ids), cobra.ShellCompDirectiveNoFileComp
}
