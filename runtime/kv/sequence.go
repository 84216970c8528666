package kv

import "github.com/tti-llm/tti/kernels"

// Sequence is the cache of one sequence: the pages of its positions, in order. It is not safe for concurrent use.
// The zero value is of no use; Pool.NewSequence makes one.
type Sequence struct {
	pool   *Pool
	held   []*page
	memory []kernels.KVPage // of the pages held
}

// NewSequence returns an empty sequence. It holds no pages yet.
func (p *Pool) NewSequence() *Sequence { return &Sequence{pool: p} }

// Pages returns the memory of the pages, for a kernels.KVHead. It is valid until the next call of Reserve, Truncate or
// Close.
func (s *Sequence) Pages() []kernels.KVPage { return s.memory }

// Reserve makes positions first <= p < last writable: there are pages for them, and no other sequence holds
// these. Pages are added at the end; one that is shared and holds positions below first is copied. It fails with
// ErrLimit, and what the sequence holds of positions below first is as before.
func (s *Sequence) Reserve(first, last int) error {
	positions := s.pool.layout.Positions
	if shared := first / positions; shared < len(s.held) && first < last {
		// More pages than that are not shared: Truncate has given back what lies behind first.
		if err := s.own(shared); err != nil {
			return err
		}
	}
	for before := len(s.held); len(s.held)*positions < last; {
		added, err := s.pool.take()
		if err != nil {
			s.cut(before)
			return err
		}
		s.held, s.memory = append(s.held, added), append(s.memory, added.memory)
	}
	return nil
}

// own replaces a page by a copy if another sequence holds it too.
func (s *Sequence) own(i int) error {
	// Only holders can add holders, so a page with this one alone stays so.
	if s.held[i].holders.Load() == 1 {
		return nil
	}
	private, err := s.pool.take()
	if err != nil {
		return err
	}
	copy(private.memory, s.held[i].memory)
	s.pool.drop(s.held[i])
	s.held[i], s.memory[i] = private, private.memory
	return nil
}

// Truncate gives back the pages that hold no position below n.
func (s *Sequence) Truncate(n int) {
	positions := s.pool.layout.Positions
	s.cut((n + positions - 1) / positions)
}

// cut gives back all but the first pages.
func (s *Sequence) cut(pages int) {
	for i := len(s.held) - 1; i >= pages; i-- {
		s.pool.drop(s.held[i])
		s.held[i], s.memory[i] = nil, nil
	}
	s.held, s.memory = s.held[:min(pages, len(s.held))], s.memory[:min(pages, len(s.memory))]
}

// Fork returns a sequence that shares the positions below n.
func (s *Sequence) Fork(n int) *Sequence {
	positions := s.pool.layout.Positions
	pages := min((n+positions-1)/positions, len(s.held))
	fork := &Sequence{pool: s.pool, held: make([]*page, pages), memory: make([]kernels.KVPage, pages)}
	copy(fork.memory, s.memory)
	for i, shared := range s.held[:pages] {
		shared.holders.Add(1)
		fork.held[i] = shared
	}
	return fork
}

// Close gives all pages back. The sequence is empty afterwards.
func (s *Sequence) Close() { s.cut(0) }
