package runtime

import (
	"context"
	"fmt"
	goruntime "runtime"
	"slices"

	"github.com/tti-llm/tti/runtime/generation"
	"github.com/tti-llm/tti/runtime/kv"
)

// Session is one sequence of tokens and its KV cache. Sessions of a model are independent and may be used from different
// goroutines; one session may not. Its cache grows with it: a session costs nothing until it is used. A session that is
// not needed any more gives its memory back by Close, or when it is collected. Once its model is closed, its calls fail
// with ErrClosed.
type Session struct {
	model    *Model
	sequence *kv.Sequence // nil once closed
	cleanup  goruntime.Cleanup
	tokens   []int32
	batch    *Batch // of this session alone
}

// NewSession returns an empty session.
func (m *Model) NewSession() *Session { return m.newSession(m.pages.NewSequence(), nil) }

func (m *Model) newSession(sequence *kv.Sequence, tokens []int32) *Session {
	s := &Session{model: m, sequence: sequence, tokens: tokens, batch: m.NewBatch()}
	s.cleanup = goruntime.AddCleanup(s, func(sequence *kv.Sequence) { sequence.Close() }, sequence)
	return s
}

// Close gives the memory of the cache back. The session cannot be used afterwards.
func (s *Session) Close() {
	if s.sequence != nil {
		s.cleanup.Stop()
		s.sequence.Close()
		s.sequence, s.tokens, s.batch = nil, nil, nil
	}
}

// Len returns the number of tokens that the session holds, each in a position of its own.
func (s *Session) Len() int { return len(s.tokens) }

// Tokens returns the tokens that the session holds. They must not be changed, and are valid until the session's next
// call.
func (s *Session) Tokens() []int32 { return s.tokens }

// KVBytes returns how much memory the keys and values of the session's tokens take.
func (s *Session) KVBytes() int64 { return s.model.KVBytes(s.Len()) }

// Append runs the tokens and returns the logits of the last one, one for each token of the vocabulary, valid until the
// session's next call. The results do not depend on how a sequence is divided into calls. It fails with ErrEmpty,
// ErrContextFull, ErrToken, ErrKVLimit or ErrClosed; after an error the session is as it was before.
func (s *Session) Append(ids []int32) ([]float32, error) {
	return s.AppendContext(context.Background(), ids)
}

// AppendContext is Append that gives up between passes when the context is done.
func (s *Session) AppendContext(ctx context.Context, ids []int32) ([]float32, error) {
	rows, err := s.run(ctx, ids, min(1, len(ids)))
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// AppendAll runs the tokens and returns the logits of each, [len(ids)][vocabulary], valid until the session's next call. It
// allocates only where it is given more tokens than ever before.
func (s *Session) AppendAll(ids []int32) ([][]float32, error) {
	return s.AppendAllContext(context.Background(), ids)
}

// AppendAllContext is AppendAll that gives up between passes when the context is done.
func (s *Session) AppendAllContext(ctx context.Context, ids []int32) ([][]float32, error) {
	return s.run(ctx, ids, len(ids))
}

func (s *Session) run(ctx context.Context, ids []int32, logits int) ([][]float32, error) {
	if s.sequence == nil {
		return nil, fmt.Errorf("session: %w", ErrClosed)
	}
	if err := s.batch.Add(s, ids, logits); err != nil {
		return nil, err
	}
	if err := s.batch.Run(ctx); err != nil {
		return nil, err
	}
	return s.batch.Logits(0), nil
}

// Truncate forgets the tokens from position n on. It panics if n is negative; beyond the end it does nothing.
func (s *Session) Truncate(n int) {
	if n < 0 {
		panic(fmt.Sprintf("runtime: truncate to %d positions", n))
	}
	if n < len(s.tokens) {
		s.tokens = s.tokens[:n]
		s.sequence.Truncate(n)
	}
}

// Fork returns a session that holds the same tokens. Both share the memory of what they have in common, and go on
// independently. It fails with ErrClosed.
func (s *Session) Fork() (*Session, error) {
	if s.sequence == nil {
		return nil, fmt.Errorf("session: %w", ErrClosed)
	}
	if err := s.model.closed(); err != nil {
		return nil, err
	}
	return s.model.newSession(s.sequence.Fork(len(s.tokens)), slices.Clone(s.tokens)), nil
}

// Common returns how many tokens the session has in common with others, from the first one on.
func (s *Session) Common(tokens []int32) int { return generation.CommonPrefix(s.tokens, tokens) }

// Keep truncates the session to what it has in common with the tokens.
func (s *Session) Keep(tokens []int32) { s.Truncate(s.Common(tokens)) }
