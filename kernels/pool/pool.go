// Package pool runs one function on a fixed team of threads that meet at barriers: the shape of a
// forward pass. It starts its workers once, uses no channel and allocates nothing while it runs. It
// never decides what a thread computes: work is split by fixed shares, and no result depends on it.
//
// Start reading at Pool.Run.
package pool

import (
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
)

// ErrClosed is returned by Run after Close.
var ErrClosed = errors.New("thread pool is closed")

// Pool is a team of threads, the caller of Run being one of them. It is safe for concurrent use:
// calls of Run take turns.
type Pool struct {
	workers []Worker
	turn    sync.Mutex
	closed  bool

	task  func(*Worker)
	start *event // tasks that were set, and the end of the pool
	phase *event // arrivals at barriers
	done  *event // threads that are through with a task, the caller's apart
	spin  bool

	broken  atomic.Bool // some thread failed: nobody waits for it any more
	failure atomic.Pointer[failure]
}

// Worker is one thread of the team during a Run.
type Worker struct {
	Index int // 0 to Count-1
	Count int
	pool  *Pool

	processor atomic.Int32 // where it ran when it last began a task or waited
	_         [36]byte     // fills a cache line of 64 bytes
}

type failure struct {
	err   error
	panic any
}

// errAborted is what a thread panics with at a barrier that another one will never reach.
var errAborted = errors.New("pass aborted")

// New returns a pool of the given number of threads, at least one. All but the caller's are started
// now and live until Close.
func New(threads int) *Pool {
	threads = max(threads, 1)
	p := &Pool{
		workers: make([]Worker, threads), start: newEvent(), phase: newEvent(), done: newEvent(),
		// Spinning threads that outnumber the processors would wait for each other's time slices.
		spin: threads <= runtime.GOMAXPROCS(0),
	}
	for i := range p.workers {
		w := &p.workers[i]
		w.Index, w.Count, w.pool = i, threads, p
		w.processor.Store(-1)
	}
	for i := 1; i < threads; i++ {
		go p.work(&p.workers[i])
	}
	return p
}

// Threads returns the number of threads, the caller of Run included.
func (p *Pool) Threads() int { return len(p.workers) }

// Run calls task once on every thread, the calling one included, and returns when all are through.
// Concurrent calls take turns. Where a thread touches memory that is not there, because a mapped file was
// truncated, the error is [format.ErrTruncated]; any other panic is raised again here.
func (p *Pool) Run(task func(*Worker)) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return ErrClosed
	}
	previous := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(previous)
	p.task = task
	others := uint64(len(p.workers) - 1)
	done := p.done.count.Load() + others
	p.start.advance(1)
	p.workers[0].locate()
	p.call(&p.workers[0])
	p.done.await(done, &p.workers[0])
	p.task = nil // and with it what only the task refers to
	return p.outcome()
}

// outcome returns what went wrong in a run, and readies the pool for the next one.
func (p *Pool) outcome() error {
	if !p.broken.Load() {
		return nil
	}
	failed := p.failure.Swap(nil)
	p.phase.count.Store(0)
	p.broken.Store(false)
	if failed.err == nil {
		panic(failed.panic)
	}
	return failed.err
}

// Close ends the threads. A Run in progress finishes first.
func (p *Pool) Close() {
	p.turn.Lock()
	defer p.turn.Unlock()
	if !p.closed {
		p.closed = true
		p.task = nil
		p.start.advance(1)
	}
}

func (p *Pool) work(w *Worker) {
	debug.SetPanicOnFault(true)
	for tasks := uint64(1); ; tasks++ {
		p.start.await(tasks, w)
		if p.task == nil {
			return
		}
		w.locate()
		p.call(w)
		p.done.advance(1)
	}
}

// call runs the task on one thread and turns a panic into the run's failure, of which the first
// one counts.
func (p *Pool) call(w *Worker) {
	defer func() {
		reason := recover()
		if reason == nil || reason == any(errAborted) {
			return
		}
		failed := &failure{panic: reason}
		failed.err = format.FaultError(reason)
		p.failure.CompareAndSwap(nil, failed)
		p.broken.Store(true)
		p.phase.advance(uint64(len(p.workers))) // more than anyone waits for
	}()
	p.task(w)
}

// Barrier returns when every thread of the run has called it. What any of them wrote before is visible to
// all afterwards.
func (w *Worker) Barrier() {
	p, count := w.pool, uint64(w.Count)
	if count == 1 {
		return
	}
	arrivals := p.phase.count.Add(1)
	switch missing := (count - arrivals%count) % count; {
	case p.broken.Load():
		// A thread that fails later than this look adds arrivals for all, which ends the wait below.
	case missing == 0:
		p.phase.wakeSleepers()
	default:
		p.phase.await(arrivals+missing, w)
	}
	if p.broken.Load() {
		panic(errAborted)
	}
}

// locate notes where the thread runs.
func (w *Worker) locate() {
	if now := kernels.Processor(); now != w.processor.Load() {
		w.processor.Store(now)
	}
}

// crowded reports whether another thread of the pool was last seen on this thread's processor: it
// cannot be running there now. Where processors are not known, every thread may be in the way.
func (w *Worker) crowded() bool {
	w.locate()
	here := w.processor.Load()
	for i := range w.pool.workers {
		if i != w.Index && w.pool.workers[i].processor.Load() == here {
			return true
		}
	}
	return false
}

// Split returns this thread's part, first <= i < last, of n items in units of the given size.
// The parts of all threads cover them exactly, in order, and differ by at most one unit.
func (w *Worker) Split(n, unit int) (first, last int) {
	units := (n + unit - 1) / unit
	return min(units*w.Index/w.Count*unit, n), min(units*(w.Index+1)/w.Count*unit, n)
}
