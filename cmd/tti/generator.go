package main

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// generator continues texts: a model, what drafts for it, and the text before.
type generator struct {
	flags   *runFlags
	path    string
	model   *runtime.Model
	drafts  *drafts
	decoder *spec.Decoder
}

// open opens the model and its drafts.
func (f *runFlags) open(path string) (*generator, error) {
	model, err := runtime.Open(path, f.options()...)
	if err != nil {
		return nil, err
	}
	g := &generator{flags: f, path: path, model: model}
	if g.drafts, err = f.draft.open(model); err != nil {
		model.Close()
		return nil, err
	}
	drafters, err := g.drafts.drafters()
	if err != nil {
		g.close()
		return nil, err
	}
	g.decoder = spec.New(model, drafters...)
	g.decoder.Length = f.draftLength.value
	return g, nil
}

func (g *generator) close() {
	g.drafts.close()
	g.model.Close()
}

// generate yields the tokens that follow the prompt and fills outcome.
func (g *generator) generate(ctx context.Context, prompt []int32, outcome *runtime.Outcome) iter.Seq2[spec.Token, error] {
	f := g.flags
	options := []runtime.GenerateOption{runtime.MaxTokens(f.tokens.value), runtime.Stop(f.stops...), runtime.Report(outcome)}
	if f.ignoreEOS {
		options = append(options, runtime.IgnoreEOS())
	}
	return g.decoder.Generate(ctx, prompt, f.sampling(), options...)
}

// complain tells of a drafter that failed.
func (g *generator) complain(notes io.Writer) {
	if err := g.decoder.Statistics().DraftError; err != nil {
		fmt.Fprintf(notes, "tti: %s; the text went on without it\n", oneLine(err))
	}
}
