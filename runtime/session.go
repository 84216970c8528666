package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
)

var (
	// ErrContextFull is returned where tokens do not fit into the positions that are left.
	ErrContextFull = errors.New("context is full")
	// ErrToken is returned for a token that the model does not have.
	ErrToken = errors.New("no such token")
	// ErrEmpty is returned where at least one token is needed.
	ErrEmpty = errors.New("no tokens")
)

// Session is one sequence of tokens and its KV cache. Sessions of a model are independent and may
// be used from different goroutines; one session may not.
type Session struct {
	model  *Model
	heads  []kernels.Head // [layer, head]
	length int
	logits []float32   // rows of padded vocabulary
	rows   [][]float32 // what AppendAll returns
}

// NewSession returns an empty session. Its cache has room for the model's whole context; memory is
// only touched as positions are used.
func (m *Model) NewSession() (*Session, error) {
	s := m.arch.shape()
	return &Session{
		model:  m,
		heads:  kernels.NewHeads(m.cache, s.Layers*s.Heads, s.HeadWidth, s.Context),
		logits: make([]float32, format.PaddedRows(s.Vocabulary)),
	}, nil
}

// Len returns the number of positions in use.
func (s *Session) Len() int { return s.length }

// CacheBytes returns how much KV cache one pass over the session's current positions reads.
func (s *Session) CacheBytes() int64 {
	var bytes int64
	for i := range s.heads {
		bytes += int64(s.heads[i].BytesPerPosition()) * int64(s.length)
	}
	return bytes
}

// CacheBytes returns how much KV cache a session holds when the model's context is full.
func (m *Model) CacheBytes() int64 { return m.positionBytes() * int64(m.shape.Context) }

// positionBytes returns how much of it one position takes.
func (m *Model) positionBytes() int64 {
	s := m.shape
	head := kernels.Head{Encoding: m.cache, Dimensions: kernels.PaddedHead(s.HeadWidth)}
	return int64(s.Layers) * int64(s.Heads) * int64(head.BytesPerPosition())
}

// maxCacheShare is how many times the size of its file a model's KV cache may have. GPT-2's, in f32
// beside int4 weights, is as large as the file; where the context is so long that position embeddings
// outweigh all else, the cache is up to twice the number of layers times as large. Padding, however, would let a
// file of 12 MB with heads of one dimension ask for 128 GB.
const maxCacheShare = 64

// checkCache refuses a model whose sessions would need memory out of proportion to its file. Go ends
// the process where there is none.
func (m *Model) checkCache() error {
	size := m.file.Size()
	if position := m.positionBytes(); position > maxCacheShare*size/int64(m.shape.Context) {
		return fmt.Errorf("%w: a KV cache of %d positions of %d bytes, more than %d times the file's %d bytes",
			format.ErrUnsupported, m.shape.Context, position, maxCacheShare, size)
	}
	return nil
}

// Append runs the tokens and returns the logits of the last one, one for each token of the
// vocabulary, valid until the session's next call. The results do not depend on how a sequence is
// divided into calls. After an error the session is as it was before.
func (s *Session) Append(ids []int32) ([]float32, error) {
	return s.AppendContext(context.Background(), ids)
}

// AppendContext is Append that gives up between chunks of tokens when the context is done.
func (s *Session) AppendContext(ctx context.Context, ids []int32) ([]float32, error) {
	if err := s.run(ctx, ids, false); err != nil {
		return nil, err
	}
	return s.row(0), nil
}

// AppendAll runs the tokens and returns the logits of each, [len(ids)][vocabulary], valid until the
// session's next call. It allocates only where it is given more tokens than ever before.
func (s *Session) AppendAll(ids []int32) ([][]float32, error) {
	if err := s.run(context.Background(), ids, true); err != nil {
		return nil, err
	}
	s.rows = s.rows[:0]
	for i := range ids {
		s.rows = append(s.rows, s.row(i))
	}
	return s.rows, nil
}

func (s *Session) row(i int) []float32 {
	vocabulary := s.model.shape.Vocabulary
	return s.logits[i*format.PaddedRows(vocabulary):][:vocabulary:vocabulary]
}

// Truncate forgets the positions from n on. It panics if n is negative; beyond the end it does
// nothing.
func (s *Session) Truncate(n int) {
	if n < 0 {
		panic(fmt.Sprintf("runtime: truncate to %d positions", n))
	}
	s.length = min(s.length, n)
}

func (s *Session) run(ctx context.Context, ids []int32, all bool) error {
	m := s.model
	if len(ids) == 0 {
		return ErrEmpty
	}
	if left := m.shape.Context - s.length; len(ids) > left {
		return fmt.Errorf("%w: %d tokens do not fit, %d of %d positions are left", ErrContextFull, len(ids), left, m.shape.Context)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= m.shape.Vocabulary {
			return fmt.Errorf("%w: %d, the vocabulary has %d", ErrToken, id, m.shape.Vocabulary)
		}
	}
	stride := format.PaddedRows(m.shape.Vocabulary)
	if need := stride * len(ids); all && len(s.logits) < need {
		s.logits = make([]float32, need)
	}
	for done := 0; done < len(ids); {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(chunkTokens, len(ids)-done)
		logits := s.logits
		if all {
			logits = logits[done*stride:]
		}
		wanted := all || done+count == len(ids)
		if err := m.run(ids[done:done+count], s.length+done, s.heads, logits, all, wanted); err != nil {
			return err
		}
		done += count
	}
	s.length += len(ids)
	return nil
}
