// Package parallel runs the pieces of a work on several cores: in any order with Each, or with
// their results in order with InOrder.
package parallel

import (
	"context"
	"iter"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Workers returns n, or, if that is not positive, how many goroutines keep all cores busy.
func Workers(n int) int {
	if n <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

// Each calls work with 0 to count-1, for as many at a time as Workers says, and waits for all. After
// the first error, or when ctx is done, the context given to work is done and nothing more begins.
// The error is ctx's, or else the first of work.
func Each(ctx context.Context, workers, count int, work func(ctx context.Context, i int) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(Workers(workers))
	for i := range count {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := inner.Err(); err != nil { // since Go began to wait for a worker
				return err
			}
			return work(inner, i)
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// InOrder calls work with 0 to count-1 from several goroutines and yields its results in order, up
// to the first error. At most 2*Workers(workers)+1 results are under way or there at the same time.
// When the loop ends nothing is at work any more.
func InOrder[T any](ctx context.Context, workers, count int, work func(i int) (T, error)) iter.Seq2[T, error] {
	type result struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		var group sync.WaitGroup
		defer group.Wait()
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		results := make(chan chan result, 2*Workers(workers))
		group.Go(func() {
			defer close(results)
			for i := range count {
				promise := make(chan result, 1)
				select {
				case results <- promise:
				case <-inner.Done():
					return
				}
				group.Go(func() {
					var r result
					if r.err = inner.Err(); r.err == nil {
						r.value, r.err = work(i)
					}
					promise <- r
				})
			}
		})
		for promise := range results {
			if r := <-promise; !yield(r.value, r.err) || r.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
