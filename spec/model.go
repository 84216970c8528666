package spec

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	text    []int32 // as the draft can read it
	drafted []int32
}

// NewModel returns a drafter for the target. The draft runs on the target's threads from then on: two teams that wait for
// each other would share the processors badly. It fails with ErrVocabulary, naming both files, unless the draft's tokens are
// the first of the target's and their merges are the same. A token that the draft lacks is to it the end of a text.
func NewModel(draft, target *runtime.Model) (*Model, error) {
	if err := Pair(draft, target); err != nil {
		return nil, err
	}
	return &Model{model: draft, session: draft.NewSession()}, nil
}

// Pair readies a draft model to guess for a target, for those who drive it themselves; it says and does what NewModel does.
func Pair(draft, target *runtime.Model) error {
	extends, err := target.Tokenizer().Extends(draft.Tokenizer())
	if err != nil {
		return err
	}
	lacks := target.Shape().Vocabulary - draft.Shape().Vocabulary
	if !extends || lacks < 0 || lacks > 0 && draft.Shape().EOS < 0 {
		return fmt.Errorf("%s: %w: its tokens or merges are not those of %s", draft.File().Path(), ErrVocabulary, target.File().Path())
	}
	return draft.UseThreads(target.Threads())
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
		Behind:  len(text) - m.valid(m.read(text)),
		Margins: true,
	}
}

// valid returns how many positions of the session serve for the text. The last token is always run
// again, for its logits.
func (m *Model) valid(text []int32) int { return m.session.Common(text[:len(text)-1]) }

// read returns a text in which the tokens that the draft lacks are ends of texts.
func (m *Model) read(text []int32) []int32 {
	vocabulary := m.model.Shape().Vocabulary
	if !slices.ContainsFunc(text, func(id int32) bool { return int(id) >= vocabulary }) {
		return text
	}
	m.text = append(m.text[:0], text...)
	ReplaceUnknown(m.model, m.text)
	return m.text
}

// ReplaceUnknown puts ends of texts in the places of tokens that a draft model lacks, for those who drive it themselves.
func ReplaceUnknown(draft *runtime.Model, ids []int32) {
	shape := draft.Shape()
	for i, id := range ids {
		if int(id) >= shape.Vocabulary {
			ids[i] = shape.EOS
		}
	}
}

// Propose implements Drafter.
func (m *Model) Propose(ctx context.Context, text []int32, n int, sampler *runtime.Sampler, more func(margin float64) bool) ([]int32, error) {
	text = m.read(text)
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
		if len(m.drafted) == n || slices.Contains(m.model.Ends(), id) || more != nil && !more(margin) {
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
