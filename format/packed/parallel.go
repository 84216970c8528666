package packed

import (
	"context"
	"iter"
	"runtime"
	"sync"
)

// inOrder calls work with 0 to count-1 from several goroutines and yields its results in order, up
// to the first error. At most 2*workers+1 results are there at the same time. When the loop ends
// nothing is at work any more.
func inOrder[T any](ctx context.Context, count, workers int, work func(i int) (T, error)) iter.Seq2[T, error] {
	type result struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		var group sync.WaitGroup
		defer group.Wait()
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		results := make(chan chan result, 2*workers)
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

// workers returns Workers, or what 0 stands for.
func (o Options) workers() int {
	if o.Workers <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Workers
}

// buffers are what one frame in flight needs.
type buffers struct {
	packed, content []byte
}

// bufferPool keeps the buffers of frames that are done for those to come.
type bufferPool chan *buffers

func newBufferPool(workers int) bufferPool { return make(bufferPool, 2*workers+1) }

func (p bufferPool) get() *buffers {
	select {
	case b := <-p:
		return b
	default:
		return &buffers{}
	}
}

func (p bufferPool) put(b *buffers) {
	select {
	case p <- b:
	default:
	}
}

// grow returns n bytes, those of b if it has as many.
func grow(b []byte, n uint32) []byte {
	if uint64(cap(b)) < uint64(n) {
		b = make([]byte, n)
	}
	return b[:n]
}
