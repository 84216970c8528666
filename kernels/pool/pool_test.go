package pool

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tti-llm/tti/format"
)

func TestSharesCoverEverythingOnce(t *testing.T) {
	for threads := 1; threads <= 9; threads++ {
		for _, unit := range []int{1, 4, 16} {
			for n := range 70 {
				next := 0
				for i := range threads {
					first, last := (&Worker{Index: i, Count: threads}).Split(n, unit)
					if first != next || last < first || last != n && last%unit != 0 {
						t.Fatalf("%d items by %d, thread %d of %d: %d to %d after %d", n, unit, i, threads, first, last, next)
					}
					next = last
				}
				if next != n {
					t.Fatalf("%d items by %d on %d threads: covered %d", n, unit, threads, next)
				}
			}
		}
	}
}

// TestBarrierSeparatesPhases lets every thread check that all others have finished the phase
// before, more threads than processors included.
func TestBarrierSeparatesPhases(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 4 * runtime.GOMAXPROCS(0)} {
		p := New(threads)
		const phases = 200
		marks := make([]int, threads) // plain memory: the barrier itself must order it
		for range 20 {
			clear(marks)
			err := p.Run(func(w *Worker) {
				for phase := range phases {
					marks[w.Index] = phase + 1
					w.Barrier()
					for i, mark := range marks {
						if mark != phase+1 {
							t.Errorf("thread %d in phase %d, thread %d in %d", w.Index, phase, i, mark-1)
						}
					}
					w.Barrier()
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		p.Close()
	}
}

func TestRunsTakeTurns(t *testing.T) {
	p := New(3)
	defer p.Close()
	var inside atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				err := p.Run(func(w *Worker) {
					if w.Index == 0 && inside.Add(1) != 1 {
						t.Error("two runs at once")
					}
					w.Barrier()
					if w.Index == 0 {
						inside.Add(-1)
					}
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

type fakeFault struct{}

func (fakeFault) Addr() uintptr { return 1 }
func (fakeFault) Error() string { return "fault" }

// TestFaultReleasesTheBarrier fails on each thread in turn while the others wait for it.
func TestFaultReleasesTheBarrier(t *testing.T) {
	p := New(4)
	defer p.Close()
	for i := range 100 {
		err := p.Run(func(w *Worker) {
			w.Barrier()
			if w.Index == i%4 {
				panic(fakeFault{})
			}
			if w.Index == (i+1)%4 {
				time.Sleep(time.Millisecond) // arrives after the failure
			}
			w.Barrier()
			w.Barrier()
		})
		if !errors.Is(err, format.ErrTruncated) {
			t.Fatalf("run %d: %v", i, err)
		}
		var ran atomic.Int32
		if err := p.Run(func(w *Worker) { w.Barrier(); ran.Add(1); w.Barrier() }); err != nil || ran.Load() != 4 {
			t.Fatalf("the run after a fault: %v, %d threads", err, ran.Load())
		}
	}
}

func TestPanicReachesTheCaller(t *testing.T) {
	p := New(2)
	defer p.Close()
	defer func() {
		if reason := recover(); reason != "bug" {
			t.Errorf("recovered %v", reason)
		}
	}()
	p.Run(func(w *Worker) {
		if w.Index == 1 {
			panic("bug")
		}
		w.Barrier()
	})
	t.Error("no panic")
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	p := New(8)
	if err := p.Run(func(w *Worker) { w.Barrier() }); err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close()
	if err := p.Run(func(*Worker) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
	for runtime.NumGoroutine() > before {
		runtime.Gosched()
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	p := New(2)
	defer p.Close()
	task := func(w *Worker) { w.Barrier() }
	if n := testing.AllocsPerRun(100, func() { p.Run(task) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBarrier(b *testing.B) {
	p := New(runtime.GOMAXPROCS(0))
	defer p.Close()
	p.Run(func(w *Worker) {
		for range b.N {
			w.Barrier()
		}
	})
}

func BenchmarkRun(b *testing.B) {
	p := New(runtime.GOMAXPROCS(0))
	defer p.Close()
	task := func(*Worker) {}
	for b.Loop() {
		p.Run(task)
	}
}
