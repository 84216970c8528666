package spec

import (
	"context"
	"errors"
	"fmt"

	"github.com/tti-llm/tti/runtime"
)

// ErrVocabulary is returned for a draft model whose tokens or merges are not the target's.
var ErrVocabulary = errors.New("vocabularies differ")

// Model drafts with a language model, usually a smaller one or the target itself in fewer bits. It
// keeps a session of its own, rolls it back to what has come true, and catches up in one batch with
// what was written without it.
type Model struct {
	// Replace, if not nil, is told every guess and the number of tokens before it, and returns what
	// is proposed and run instead: for experiments that need a draft's cost, but not its luck.
	Replace func(position int, guess int32) int32

	model   *runtime.Model
	session *runtime.Session
	held    []int32 // the tokens in the session
	drafted []int32
}

// NewModel returns a drafter for the target. It fails with ErrVocabulary, naming both files, unless
// the two models have the same tokens and merges.
func NewModel(draft, target *runtime.Model) (*Model, error) {
	if draft.Tokenizer().Digest() != target.Tokenizer().Digest() {
		return nil, fmt.Errorf("%s: %w: its tokens or merges are not those of %s", draft.File().Path(), ErrVocabulary, target.File().Path())
	}
	session, err := draft.NewSession()
	if err != nil {
		return nil, err
	}
	return &Model{model: draft, session: session}, nil
}

// Origin implements Drafter.
func (m *Model) Origin() Origin { return FromDraft }

// Offer implements Drafter: guesses as far as the draft model has positions.
func (m *Model) Offer(text []int32) Offer {
	return Offer{
		// The last guess needs no position of its own.
		Length:  max(0, m.model.Shape().Context-len(text)+1),
		Behind:  len(text) - m.valid(text),
		Margins: true,
	}
}

// valid returns how many positions of the session serve for the text. The last token is always run
// again, for its logits.
func (m *Model) valid(text []int32) int {
	return min(commonPrefix(m.held, text), len(text)-1)
}

// Propose implements Drafter.
func (m *Model) Propose(ctx context.Context, text []int32, n int, sampler *runtime.Sampler, more func(margin float64) bool) ([]int32, error) {
	valid := m.valid(text)
	m.session.Truncate(valid)
	m.held = m.held[:valid]
	m.drafted = m.drafted[:0]
	next := text[valid:]
	for {
		logits, err := m.session.AppendContext(ctx, next)
		if err != nil {
			return nil, err
		}
		m.held = append(m.held, next...)
		id, margin, err := draw(sampler, logits, m.held, more != nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.model.File().Path(), err)
		}
		if m.Replace != nil {
			id = m.Replace(len(m.held), id)
		}
		m.drafted = append(m.drafted, id)
		// Nothing follows the end of a text but another text.
		if len(m.drafted) == n || id == m.model.Shape().EndOfText || more != nil && !more(margin) {
			return m.drafted, nil
		}
		next = m.drafted[len(m.drafted)-1:]
	}
}

func draw(sampler *runtime.Sampler, logits []float32, preceding []int32, wantMargin bool) (id int32, margin float64, err error) {
	if wantMargin {
		return sampler.DrawMargin(logits, preceding)
	}
	id, err = sampler.Draw(logits, preceding)
	return id, 0, err
}
