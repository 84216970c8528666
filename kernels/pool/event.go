package pool

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/tti-llm/tti/kernels"
)

const (
	// spinRounds bounds how long a thread spins before it yields: some tens of microseconds, more
	// than any kernel's imbalance, less than what another process would miss.
	spinRounds = 2000
	// yieldRounds is how often it then lets other goroutines run before it parks.
	yieldRounds = 20
)

// event is a counter that threads wait on: they spin for a moment, because the next kernel of a
// pass is microseconds away, then park, so that an idle process uses no CPU.
type event struct {
	count    atomic.Uint32
	sleepers atomic.Int32
	mutex    sync.Mutex
	wake     *sync.Cond
}

func newEvent() *event {
	e := &event{}
	e.wake = sync.NewCond(&e.mutex)
	return e
}

// advance lets everyone go who waits for the count to change.
func (e *event) advance() {
	e.count.Add(1)
	if e.sleepers.Load() > 0 {
		e.mutex.Lock()
		e.wake.Broadcast()
		e.mutex.Unlock()
	}
}

// await returns once the count is no longer seen.
func (e *event) await(seen uint32, spin bool) {
	if spin {
		for range spinRounds {
			if e.count.Load() != seen {
				return
			}
			kernels.Pause()
		}
		for range yieldRounds {
			if e.count.Load() != seen {
				return
			}
			runtime.Gosched()
		}
	}
	// A sleeper announces itself before it looks at the count for the last time, and advance
	// changes the count before it looks for sleepers: one of the two sees the other.
	e.mutex.Lock()
	e.sleepers.Add(1)
	for e.count.Load() == seen {
		e.wake.Wait()
	}
	e.sleepers.Add(-1)
	e.mutex.Unlock()
}
