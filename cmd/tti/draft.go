package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// draftFlags say who guesses how a text goes on.
type draftFlags struct {
	drafts []string
}

// ngram is the drafter that needs no file.
const ngram = "ngram"

func (f *draftFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.drafts, "draft", nil, "guess tokens ahead with `MODEL|ngram`, a file or a model of the hub; may be given several times. The text never depends on it")
	cmd.RegisterFlagCompletionFunc("draft", completeDrafts)
}

// completeDrafts offers .tti files, the directories on the way to them and the drafter that needs none.
func completeDrafts(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	var names []string
	if strings.HasPrefix(ngram, word) {
		names = append(names, ngram)
	}
	paths, _ := filepath.Glob(word + "*") // a word that is no pattern matches nothing
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			names = append(names, path+string(filepath.Separator))
			directive |= cobra.ShellCompDirectiveNoSpace
		} else if filepath.Ext(path) == ".tti" {
			names = append(names, path)
		}
	}
	return names, directive
}

// drafts are the drafters of a target and the models that they need.
type drafts struct {
	target *runtime.Model
	models []*runtime.Model // nil: the text itself is looked through
}

// draftFile returns the .tti file of a draft, or ngram.
func draftFile(ctx context.Context, cmd *cobra.Command, name string) (string, error) {
	if name == ngram {
		return name, nil
	}
	return otherFile(ctx, cmd, name, convert.DraftOptions())
}

// open opens the draft models on the target's threads. They must be closed before the target.
func (f *draftFlags) open(ctx context.Context, cmd *cobra.Command, target *runtime.Model) (_ *drafts, err error) {
	d := &drafts{target: target}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	for _, name := range f.drafts {
		path, err := draftFile(ctx, cmd, name)
		if err != nil {
			return nil, err
		}
		var model *runtime.Model
		if path != ngram {
			if model, err = openModel(path, runtime.WithThreads(target.Threads())); err != nil {
				return nil, err
			}
		}
		d.models = append(d.models, model)
	}
	return d, nil
}

func (d *drafts) close() {
	for _, model := range d.models {
		if model != nil {
			model.Close()
		}
	}
}

// drafters returns new drafters, which share the models.
func (d *drafts) drafters() ([]spec.Drafter, error) {
	var drafters []spec.Drafter
	for _, model := range d.models {
		if model == nil {
			drafters = append(drafters, &spec.NGram{})
			continue
		}
		drafter, err := spec.NewModel(model, d.target)
		if err != nil {
			return nil, err
		}
		drafters = append(drafters, drafter)
	}
	return drafters, nil
}
