package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tti-llm/tti/runtime"
)

// pages returns a limit of that many pages of a model in the given encoding.
func pages(t testing.TB, source string, encoding runtime.KV, count int) runtime.Option {
	t.Helper()
	m := open(t, source, int4, runtime.WithKV(encoding))
	return runtime.WithKVLimit(int64(count) * m.KVBytes(m.KVPage()))
}

// TestPoolIsFull runs requests in a pool that is too small for two of them: all finish, as if they were alone, without and
// with prefixes in the way.
func TestPoolIsFull(t *testing.T) {
	m := open(t, "fable-draft", int4, runtime.WithKV(runtime.F32), pages(t, "fable-draft", runtime.F32, 9))
	random := rand.New(rand.NewPCG(3, 3))
	text := story(t, m)
	var list []Request
	var want [][]written
	for i := range 6 {
		r := Request{Prompt: text[100*i:][:60+random.IntN(60)], Limits: []runtime.GenerateOption{runtime.MaxTokens(150), runtime.IgnoreEOS()}}
		r.Sampling = runtime.Sampling{Temperature: 1, Seed: uint64(i)}
		if i == 2 {
			r.Choices = 3
		}
		list, want = append(list, r), append(want, alone(t, m, r))
	}
	draft := open(t, "fable-draft", int4All)
	for _, o := range []Options{{}, {Prefixes: -1}, {NGram: true, Draft: draft, eager: true}, {Draft: draft, eager: true}} {
		e, some := start(t, m, o), len(list)
		if o.eager { // slow: most guesses are wrong
			some = 3
		}
		checkTogether(t, e, list[:some], want, "a small pool")
		s := e.Statistics()
		if e.Close(); s.Preemptions == 0 || o.Prefixes == 0 && s.Prefixes.Evicted == 0 || m.KVTaken() != 0 {
			t.Errorf("statistics %+v, %d bytes stay taken", s, m.KVTaken())
		}
	}
}

// TestTooLargeAlone: a request that has the whole pool and needs more fails; those before and after it do not.
func TestTooLargeAlone(t *testing.T) {
	m := open(t, "fable-draft", int4, runtime.WithKV(runtime.F32), pages(t, "fable-draft", runtime.F32, 4))
	e := start(t, m, Options{})
	large := Request{Prompt: story(t, m)[:100], Limits: []runtime.GenerateOption{runtime.IgnoreEOS()}}
	prompt := Request{Prompt: story(t, m)[:400]}
	first, second, third, fourth := submit(t, e, short("", 20)), submit(t, e, large), submit(t, e, prompt), submit(t, e, short("", 20))
	for i, s := range []*Stream{first, second, third, fourth} {
		got := collect(s, Request{})[0]
		if small := i == 0 || i == 3; small && (got.err != nil || len(got.tokens) != 20) || !small && !errors.Is(got.err, runtime.ErrKVLimit) {
			t.Errorf("number %d: %v", i, got)
		}
	}
	if s := e.Statistics(); s.Running != 0 {
		t.Errorf("statistics %+v", s)
	}
}

// TestManyCancellations leaves no page taken in a pool that is often full.
func TestManyCancellations(t *testing.T) {
	count := 1000
	if testing.Short() {
		count = 100
	}
	m := open(t, "fable-draft", int4, pages(t, "fable-draft", runtime.F16, 12))
	random := rand.New(rand.NewPCG(6, 6))
	e := start(t, m, Options{Texts: 8, Queue: 2 * count})
	list := requests(t, m, random, 40)
	var cancelled atomic.Int64
	var group sync.WaitGroup
	for range count {
		r, left := list[random.IntN(len(list))], random.IntN(30)
		group.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s, err := e.Submit(ctx, r)
			if err != nil {
				t.Error(err)
				return
			}
			if left == 0 { // wherever it is
				cancel()
			}
			for _, err := range s.Tokens() {
				if left--; left == 0 {
					cancel()
				}
				switch {
				case errors.Is(err, context.Canceled):
					cancelled.Add(1)
				case err != nil:
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if s := e.Statistics(); s.Running != 0 || s.Waiting != 0 || int(cancelled.Load()) < count/10 {
		t.Errorf("%d cancelled, statistics %+v", cancelled.Load(), s)
	}
	if e.Close(); m.KVTaken() != 0 {
		t.Errorf("%d bytes of pages stay taken", m.KVTaken())
	}
}
