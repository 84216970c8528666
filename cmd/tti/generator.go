package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/spec"
)

// generator lets a model speak: the model, what drafts for it, and the text before.
type generator struct {
	flags    *runFlags
	path     string // as it was given
	model    *runtime.Model
	template *chat.Template // nil: texts are continued as they are
	drafts   *drafts
	decoder  *spec.Decoder
}

// open opens the model and its drafts, and settles what depends on the model: how it is talked to, and how its tokens are drawn.
func (f *runFlags) open(ctx context.Context, cmd *cobra.Command, name string) (*generator, error) {
	path, err := f.modes.file(ctx, cmd, name)
	if err != nil {
		return nil, err
	}
	model, err := openModel(path, f.options()...)
	if err != nil {
		return nil, err
	}
	g := &generator{flags: f, path: name, model: model, drafts: &drafts{}}
	if err = g.settle(cmd); err == nil {
		err = g.openDrafts(ctx, cmd)
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *generator) settle(cmd *cobra.Command) (err error) {
	f := g.flags
	if g.template, err = f.chatTemplate(g.path, g.model); err != nil {
		return err
	}
	if g.template == nil && f.system != "" {
		return usagef(cmd, "--system is for a chat, and %s has no chat template; --template FILE gives it one", g.path)
	}
	if g.template != nil && f.special {
		return usagef(cmd, "--special is for plain text, and %s chats; --raw continues plain text", g.path)
	}
	f.draw.resolve(g.model.Meta().Generation)
	return f.draw.check(cmd)
}

// chatTemplate returns the template that conversations follow, nil if plain text is to be continued.
func (f *runFlags) chatTemplate(path string, model *runtime.Model) (*chat.Template, error) {
	if f.raw {
		return nil, nil
	}
	if f.template != "" {
		text, err := os.ReadFile(f.template)
		if err != nil {
			return nil, err
		}
		template, err := chat.ParseFor(model.Tokenizer(), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.template, err)
		}
		return template, nil
	}
	template, err := chat.FromTokenizer(model.Tokenizer())
	if errors.Is(err, chat.ErrNoTemplate) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w (--raw continues plain text without it)", path, err)
	}
	return template, nil
}

func (g *generator) openDrafts(ctx context.Context, cmd *cobra.Command) (err error) {
	if g.drafts, err = g.flags.draft.open(ctx, cmd, g.model); err != nil {
		g.drafts = &drafts{}
		return err
	}
	drafters, err := g.drafts.drafters()
	if err != nil {
		return err
	}
	g.decoder = spec.New(g.model, drafters...)
	g.decoder.Length = g.flags.draftLength.value
	return nil
}

func (g *generator) close() {
	g.drafts.close()
	g.model.Close()
}

// limit returns how many tokens an answer may have, if that is limited: a chat's model ends its answers itself.
func (f *runFlags) limit(chat bool) (most int, limited bool) {
	return f.tokens.value, !chat || f.set.Changed("tokens")
}

// generate yields the tokens that follow the prompt and fills outcome.
func (g *generator) generate(ctx context.Context, prompt []int32, outcome *runtime.Outcome) iter.Seq2[spec.Token, error] {
	f := g.flags
	most, limited := f.limit(g.template != nil)
	if !limited {
		most = math.MaxInt
	}
	options := []runtime.GenerateOption{runtime.MaxTokens(most), runtime.Stop(f.stops...), runtime.Report(outcome)}
	if f.ignoreEOS {
		options = append(options, runtime.IgnoreEOS())
	}
	return g.decoder.Generate(ctx, prompt, f.draw.sampling(), options...)
}

// ended reports whether the last of the tokens is the model's sign that its text has ended.
func (g *generator) ended(ids []int32, outcome runtime.Outcome) bool {
	return len(ids) > 0 && outcome.Finish == runtime.FinishStop && slices.Contains(g.model.Ends(), ids[len(ids)-1])
}

// complain tells of a drafter that failed.
func (g *generator) complain(notes io.Writer) {
	if err := g.decoder.Statistics().DraftError; err != nil {
		fmt.Fprintf(notes, "tti: %s; the text went on without it\n", oneLine(err))
	}
}
