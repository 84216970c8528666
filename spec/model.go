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
	model   *runtime.Model
	session *runtime.Session
	drafted []int32
}

// NewModel returns a drafter for the target. The draft runs on the target's threads from then on: two teams that wait for
// each other would share the processors badly. It fails with ErrVocabulary, naming both files, unless the two models have
// the same tokens and merges.
func NewModel(draft, target *runtime.Model) (*Model, error) {
	if draft.Tokenizer().Digest() != target.Tokenizer().Digest() {
		return nil, fmt.Errorf("%s: %w: its tokens or merges are not those of %s", draft.File().Path(), ErrVocabulary, target.File().Path())
	}
	if err := draft.UseThreads(target.Threads()); err != nil {
		return nil, err
	}
	return &Model{model: draft, session: draft.NewSession()}, nil
}

// Close gives back the memory of the draft's cache, which would otherwise happen when the Model is collected.
func (m *Model) Close() { m.session.Close() }

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
func (m *Model) valid(text []int32) int { return m.session.Common(text[:len(text)-1]) }

// Propose implements Drafter.
func (m *Model) Propose(ctx context.Context, text []int32, n int, sampler *runtime.Sampler, more func(margin float64) bool) ([]int32, error) {
	m.session.Truncate(m.valid(text))
	m.drafted = m.drafted[:0]
	for next := text[m.session.Len():]; ; next = m.drafted[len(m.drafted)-1:] {
		logits, err := m.session.AppendContext(ctx, next)
		if err != nil {
			return nil, err
		}
		id, margin, err := draw(sampler, logits, m.session.Tokens(), more != nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.model.File().Path(), err)
		}
		m.drafted = append(m.drafted, id)
		// Nothing follows the end of a text but another text.
		if len(m.drafted) == n || id == m.model.Shape().EOS || more != nil && !more(margin) {
			return m.drafted, nil
		}
	}
}

func draw(sampler *runtime.Sampler, logits []float32, preceding []int32, wantMargin bool) (id int32, margin float64, err error) {
	if wantMargin {
		return sampler.DrawMargin(logits, preceding)
	}
	id, err = sampler.Draw(logits, preceding)
	return id, 0, err
}
