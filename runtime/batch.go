package runtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime/forward"
)

// Batch runs tokens of several sessions of one model together, so that the weights are read once for all of them. What
// it computes for a session is what that session would have computed alone, bit for bit.
//
// Fill it with Add, Run it, read the Logits; then it can be filled again. A Batch may not be used from several goroutines at
// once, nor may the sessions that are in it.
type Batch struct {
	model    *Model
	parts    []part
	ran      bool
	logits   []float32 // rows of padded vocabulary
	rows     [][]float32
	segments []forward.Segment
}

// part is what a batch has of one session.
type part struct {
	session *Session
	ids     []int32
	logits  int // of how many of the tokens, the last ones, logits are wanted
	row     int // of the first of these
	done    int // tokens that have gone through
}

// NewBatch returns an empty batch.
func (m *Model) NewBatch() *Batch { return &Batch{model: m} }

// Add plans tokens to follow those that the session holds, and asks for the logits after the last ones of them, as many as
// logits says. The tokens must not change before the batch has run. It fails, and adds nothing, with ErrEmpty,
// ErrContextFull, ErrToken, ErrMismatch for a session of another model, ErrClosed, or ErrOption for a session that is in the
// batch already.
func (b *Batch) Add(s *Session, ids []int32, logits int) error {
	if b.ran {
		b.parts, b.ran = b.parts[:0], false
	}
	m := b.model
	switch {
	case s.sequence == nil:
		return fmt.Errorf("session: %w", ErrClosed)
	case s.model != m:
		return fmt.Errorf("%w: a session of another model", ErrMismatch)
	case len(ids) == 0:
		return ErrEmpty
	case logits < 0 || logits > len(ids):
		return fmt.Errorf("%w: logits of %d of %d tokens", ErrOption, logits, len(ids))
	case len(ids) > m.shape.Context-s.Len():
		return fmt.Errorf("%w: %d tokens do not fit, %d of %d positions are left", ErrContextFull, len(ids), m.shape.Context-s.Len(), m.shape.Context)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= m.shape.Vocabulary {
			return fmt.Errorf("%w: %d, the vocabulary has %d", ErrToken, id, m.shape.Vocabulary)
		}
	}
	row := 0
	for i := range b.parts {
		if b.parts[i].session == s {
			return fmt.Errorf("%w: the session is in the batch already", ErrOption)
		}
		row += b.parts[i].logits
	}
	b.parts = append(b.parts, part{session: s, ids: ids, logits: logits, row: row})
	return nil
}

// Run takes the tokens through the model, in as few passes as there is room for them. Afterwards the sessions hold their
// tokens. On an error, such as a context that is done or ErrKVLimit, they are as they were.
func (b *Batch) Run(ctx context.Context) error {
	if b.ran || len(b.parts) == 0 {
		return ErrEmpty
	}
	b.ran = true
	err := b.reserve()
	for more := err == nil; more; {
		if err = ctx.Err(); err != nil {
			break
		}
		var logits []float32
		if logits, more = b.fill(); len(b.segments) == 0 {
			break
		}
		if err = b.model.run(b.segments, logits); err != nil {
			break
		}
	}
	clear(b.segments) // forgets pages and tokens
	for i := range b.parts {
		p := &b.parts[i]
		if err == nil {
			p.session.tokens = append(p.session.tokens, p.ids...)
		}
		p.session.sequence.Truncate(p.session.Len())
		p.ids = nil
	}
	if err != nil {
		b.parts = b.parts[:0]
	}
	return err
}

// reserve makes room for all tokens and logits.
func (b *Batch) reserve() error {
	rows := 0
	for i := range b.parts {
		p := &b.parts[i]
		if err := p.session.sequence.Reserve(p.session.Len(), p.session.Len()+len(p.ids)); err != nil {
			return err
		}
		rows += p.logits
	}
	if need := rows * b.stride(); len(b.logits) < need {
		b.logits = make([]float32, need)
	}
	return nil
}

// fill sets the segments of the next pass to what has not gone through yet, as far as there is room, and returns where its
// logits go and whether there is more.
func (b *Batch) fill() (logits []float32, more bool) {
	b.segments = b.segments[:0]
	room := forward.MaxRows
	for i := range b.parts {
		p := &b.parts[i]
		count := min(len(p.ids)-p.done, room)
		if count == 0 {
			continue
		}
		// The logits wanted are those of the last tokens; this piece ends before some of these or at their end.
		wanted := max(0, p.done+count-max(p.done, len(p.ids)-p.logits))
		if len(b.segments) == 0 {
			logits = b.logits[(p.row+max(0, p.done-(len(p.ids)-p.logits)))*b.stride():]
		}
		b.segments = append(b.segments, forward.Segment{
			Pages: p.session.sequence.Pages(), Position: p.session.Len() + p.done, Tokens: p.ids[p.done : p.done+count], Logits: wanted,
		})
		p.done += count
		if room -= count; p.done < len(p.ids) {
			return logits, true
		}
	}
	return logits, room == 0
}

// stride is the distance of rows of logits.
func (b *Batch) stride() int { return format.PaddedRows(b.model.shape.Vocabulary) }

// Logits returns what number i of the sessions added, counted from 0, has asked for: [logits][vocabulary], in the order of
// its tokens. It is valid until the batch runs again.
func (b *Batch) Logits(i int) [][]float32 {
	p := b.parts[i]
	b.rows = slices.Grow(b.rows[:0], p.logits)
	for row := p.row; row < p.row+p.logits; row++ {
		b.rows = append(b.rows, b.logits[row*b.stride():][:b.model.shape.Vocabulary:b.model.shape.Vocabulary])
	}
	return b.rows
}
