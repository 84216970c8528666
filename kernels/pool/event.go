package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tti-llm/tti/kernels"
)

const (
	// looks is the number of looks at the count, with a pause after each, between two thoughts about
	// what else to do: a few microseconds.
	looks = 100
	// patience is how long a thread goes on before it parks. It must exceed by far what waking a
	// parked thread costs (50 us on a virtual machine): otherwise, once one thread has parked, each
	// finds the other gone at every barrier that follows, and a pass becomes a chain of wake-ups.
	patience = 2 * time.Millisecond
)

// event is a counter that threads wait on: they spin for a moment, because the next kernel of a
// pass is microseconds away, then park, so that an idle process uses no CPU.
type event struct {
	count atomic.Uint64
	_     [56]byte // a cache line of its own

	sleepers atomic.Int32
	mutex    sync.Mutex
	wake     *sync.Cond
	_        [40]byte
}

func newEvent() *event {
	e := &event{}
	e.wake = sync.NewCond(&e.mutex)
	return e
}

// advance adds to the count and lets everyone go who has waited for that.
func (e *event) advance(n uint64) {
	e.count.Add(n)
	e.wakeSleepers()
}

// wakeSleepers lets those who are parked look at the count again. It is called after whatever changed it.
func (e *event) wakeSleepers() {
	if e.sleepers.Load() > 0 {
		e.mutex.Lock()
		e.wake.Broadcast()
		e.mutex.Unlock()
	}
}

// await returns once the count has reached a number. It spins only on behalf of a worker.
func (e *event) await(count uint64, w *Worker) {
	if w.pool.spin && e.spin(count, w) {
		return
	}
	// A sleeper announces itself before it looks at the count for the last time, and sleepers are looked for
	// after the count was changed: one of the two sees the other.
	e.mutex.Lock()
	e.sleepers.Add(1)
	for e.count.Load() < count {
		e.wake.Wait()
	}
	e.sleepers.Add(-1)
	e.mutex.Unlock()
}

// spin reports whether the count was reached while it was worth waiting. A thread that stands in the way
// of another one, on the same processor, yields to it. Otherwise it does not yield: it might lose the
// processor to another process for milliseconds, for a wait of microseconds.
func (e *event) spin(count uint64, w *Worker) bool {
	var start time.Time
	for {
		for range looks {
			if e.count.Load() >= count {
				return true
			}
			kernels.Pause()
		}
		if w.crowded() {
			yield()
		}
		if start.IsZero() {
			start = time.Now()
		} else if time.Since(start) > patience {
			return false
		}
	}
}
