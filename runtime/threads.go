package runtime

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"sync/atomic"

	"github.com/tti-llm/tti/kernels/pool"
)

// Threads are a team of threads that passes run on. Models that run in turns on the same processors should share one:
// threads that wait for their model's next pass would stand in the way of another model's. No model owns them, so models
// that share them open and close in any order. The threads end when they and all models that use them are closed, or
// have been forgotten.
type Threads struct {
	pool    *pool.Pool
	invalid error

	mutex  sync.Mutex
	users  int // those who have not closed them, the creator among them
	closed bool
}

// NewThreads returns that many threads; 0 means as many as Go may use processors, without those that are so slow that the others
// would wait for them. More than there are processors work, slowly. Results never depend on it. A negative number is refused where the threads are used.
func NewThreads(n int) *Threads {
	t := &Threads{users: 1}
	if n < 0 {
		t.invalid = fmt.Errorf("%w: %d threads", ErrOption, n)
		return t
	}
	if n == 0 {
		n = pool.Processors()
	}
	t.pool = pool.New(n)
	goruntime.AddCleanup(t, func(p *pool.Pool) { p.Close() }, t.pool)
	return t
}

// Count returns the number of threads.
func (t *Threads) Count() int {
	if t.pool == nil {
		return 0
	}
	return t.pool.Threads()
}

// Each calls f with every number below n, shared among the threads, and returns when all calls are through. Which thread makes
// which call is left to chance. It takes turns with passes. It fails with ErrClosed, and may then have made some of the calls.
func (t *Threads) Each(n int, f func(i int)) error {
	if t == nil || t.pool == nil {
		return fmt.Errorf("threads: %w", ErrClosed)
	}
	var next atomic.Int64
	err := t.pool.Run(func(*pool.Worker) {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			f(int(i))
		}
	})
	if errors.Is(err, pool.ErrClosed) {
		return fmt.Errorf("threads: %w", ErrClosed)
	}
	return err
}

// Close says that the creator needs the threads no more. Models that use them go on.
func (t *Threads) Close() {
	t.mutex.Lock()
	first := !t.closed
	t.closed = true
	t.mutex.Unlock()
	if first {
		t.release()
	}
}

// use adds a user, who must release the threads.
func (t *Threads) use() error {
	if t.invalid != nil {
		return t.invalid
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.users == 0 {
		return fmt.Errorf("threads: %w", ErrClosed)
	}
	t.users++
	return nil
}

func (t *Threads) release() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.users--; t.users == 0 && t.pool != nil {
		t.pool.Close()
	}
}
