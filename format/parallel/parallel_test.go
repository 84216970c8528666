package parallel

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
)

func TestWorkers(t *testing.T) {
	for n, want := range map[int]int{-1: runtime.GOMAXPROCS(0), 0: runtime.GOMAXPROCS(0), 1: 1, 100: 100} {
		if got := Workers(n); got != want {
			t.Errorf("Workers(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestEach(t *testing.T) {
	for workers := range 5 {
		var calls [100]atomic.Int64
		var busy, most atomic.Int64
		err := Each(t.Context(), workers, len(calls), func(_ context.Context, i int) error {
			if now := busy.Add(1); now > most.Load() {
				most.Store(now)
			}
			runtime.Gosched()
			calls[i].Add(1)
			busy.Add(-1)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if limit := int64(Workers(workers)); most.Load() > limit {
			t.Errorf("%d at work at the same time, want at most %d", most.Load(), limit)
		}
		for i := range calls {
			if n := calls[i].Load(); n != 1 {
				t.Errorf("%d workers: %d calls for %d", workers, n, i)
			}
		}
	}
}

// TestEachStops fails in the middle: the others learn of it, and nothing more begins.
func TestEachStops(t *testing.T) {
	failure := errors.New("no more")
	var after atomic.Int64
	err := Each(t.Context(), 2, 1000, func(ctx context.Context, i int) error {
		switch {
		case i == 10:
			return failure
		case i > 10:
			after.Add(1)
			<-ctx.Done() // for ever, if it is not told
			return ctx.Err()
		}
		return nil
	})
	if err != failure {
		t.Errorf("%v, want %v", err, failure)
	}
	if n := after.Load(); n > 2 {
		t.Errorf("%d began after the failure", n)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	var calls atomic.Int64
	err := Each(ctx, 2, 1000, func(context.Context, int) error {
		calls.Add(1)
		cancel(errors.New("a reason"))
		return errors.New("something that follows from it")
	})
	if err != context.Canceled || calls.Load() > 3 {
		t.Errorf("%v after %d calls, want %v", err, calls.Load(), context.Canceled)
	}
	for _, err := range InOrder(ctx, 2, 10, func(i int) (int, error) { return i, nil }) {
		if err != context.Canceled {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	}
}

func TestInOrder(t *testing.T) {
	failure := errors.New("no more")
	for workers := range 5 {
		want := 0
		for got, err := range InOrder(t.Context(), workers, 100, func(i int) (int, error) {
			for range (100 - i) % 7 { // so that they would overtake each other
				runtime.Gosched()
			}
			if i == 90 {
				return 0, failure
			}
			return i, nil
		}) {
			if want < 90 && (got != want || err != nil) || want == 90 && err != failure || want > 90 {
				t.Errorf("%d workers: %d, %v as number %d", workers, got, err, want)
			}
			want++
		}
		if want != 91 {
			t.Errorf("%d workers: %d results, want 91", workers, want)
		}
	}
}
