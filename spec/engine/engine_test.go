package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"testing"

	"github.com/tti-llm/tti/runtime"
)

// long is a request that runs to the end of the context.
func long(key string) Request {
	return Request{Prompt: []int32{1, 2, 3}, Limits: []runtime.GenerateOption{runtime.IgnoreEOS()}, Key: key}
}

// paced keeps the engine from running ahead of whoever reads a long text by more than a few tokens: what a test does to such
// a text happens while it runs, however fast the machine is.
func paced(e *Engine) {
	const ahead = 8
	ends := func(t *text) bool {
		e.mutex.Lock()
		defer e.mutex.Unlock()
		return e.closed || t.job.cancelled() != nil
	}
	for _, t := range e.texts {
		isLong := len(t.job.Limits) == len(long("").Limits)
		for isLong && t.job.stream.unread() > ahead && !ends(t) {
			goruntime.Gosched()
		}
	}
}

// unread is how many tokens wait for the reader.
func (s *Stream) unread() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.tokens)
}

// short is a request for a few tokens.
func short(key string, tokens int) Request {
	return Request{Prompt: []int32{1, 2, 3}, Limits: []runtime.GenerateOption{runtime.IgnoreEOS(), runtime.MaxTokens(tokens)}, Key: key}
}

func TestRefusals(t *testing.T) {
	m := open(t, "fable-draft", int4)
	for name, o := range map[string]Options{"texts": {Texts: -1}, "queue": {Queue: -1}, "stretch": {Stretch: 0.5}} {
		if _, err := New(m, o); !errors.Is(err, runtime.ErrOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
	start(t, m, Options{Stretch: 1}).Close() // the least
	e := start(t, m, Options{Texts: 4})
	for name, c := range map[string]struct {
		Request
		want error
	}{
		"no prompt":       {Request{}, runtime.ErrEmpty},
		"long prompt":     {Request{Prompt: make([]int32, 513)}, runtime.ErrContextFull},
		"unknown token":   {Request{Prompt: []int32{1, 2048}}, runtime.ErrToken},
		"negative token":  {Request{Prompt: []int32{-1}}, runtime.ErrToken},
		"bad temperature": {Request{Prompt: []int32{1}, Sampling: runtime.Sampling{Temperature: -1}}, runtime.ErrOption},
		"bad limit":       {Request{Prompt: []int32{1}, Limits: []runtime.GenerateOption{runtime.MaxTokens(-1)}}, runtime.ErrOption},
		"bad top":         {Request{Prompt: []int32{1}, Top: -1}, runtime.ErrOption},
		"unknown bias":    {Request{Prompt: []int32{1}, Sampling: runtime.Sampling{LogitBias: map[int32]float32{2048: 1}}}, runtime.ErrToken},
		"few tokens":      {Request{Prompt: []int32{1}, Limits: []runtime.GenerateOption{runtime.MinTokens(-1)}}, runtime.ErrOption},
		"many choices":    {Request{Prompt: []int32{1}, Choices: 5}, runtime.ErrOption},
	} {
		if _, err := e.Submit(context.Background(), c.Request); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Submit(done, short("", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that is done: %v", err)
	}
	if s := e.Statistics(); s != (Statistics{}) {
		t.Errorf("statistics %+v", s)
	}
}

// TestQueue fills the engine and its queue: the next request is refused, until there is room again.
func TestQueue(t *testing.T) {
	m := open(t, "fable-draft", int4)
	e := start(t, m, Options{Texts: 1, Queue: 2, interfere: paced})
	running := submit(t, e, long(""))
	for range running.Tokens() { // it runs
		break
	}
	// That has closed it: another takes its place.
	running = submit(t, e, long(""))
	first := true
	var waiting []*Stream
	for _, err := range running.Tokens() {
		if err != nil {
			t.Fatal(err)
		}
		if !first {
			break
		}
		first = false
		waiting = append(waiting, submit(t, e, short("", 2)), submit(t, e, short("", 2)))
		if _, err := e.Submit(context.Background(), short("", 2)); !errors.Is(err, ErrBusy) {
			t.Errorf("a third in the queue: %v", err)
		}
		if s := e.Statistics(); s.Waiting != 2 || s.Running != 1 || s.Refused != 1 {
			t.Errorf("statistics %+v", s)
		}
	}
	for _, s := range waiting {
		if got := collect(s, Request{})[0]; got.err != nil || len(got.tokens) != 2 {
			t.Errorf("%v", got)
		}
	}
}

// TestKeysTakeTurns hands in many requests of one key, then one of another: it is the next.
func TestKeysTakeTurns(t *testing.T) {
	job := func(key string) *job { return &job{Request: Request{Key: key}} }
	q := queue{job("a"), job("a"), job("b"), job("c"), job("b")}
	for _, c := range []struct {
		running map[string]int
		want    int
	}{
		{nil, 0}, {map[string]int{"a": 1}, 2}, {map[string]int{"a": 1, "b": 1}, 3}, {map[string]int{"a": 1, "b": 2, "c": 1}, 0},
		{map[string]int{"a": 3, "b": 2, "c": 2}, 2},
	} {
		if got := q.next(c.running); got != c.want {
			t.Errorf("of %v running, number %d is next, want %d", c.running, got, c.want)
		}
	}
	if got := (queue)(nil).next(nil); got != -1 {
		t.Errorf("of nobody, %d is next", got)
	}
}

// TestCancellation ends requests in every way at random moments: the others do not notice, and no page stays taken.
func TestCancellation(t *testing.T) {
	m := open(t, "fable-draft", int8)
	random := rand.New(rand.NewPCG(5, 5))
	e := start(t, m, Options{Texts: 6, interfere: paced})
	kept := short("", 60)
	want := alone(t, m, kept)[0]
	for round := range 40 {
		ctx, cancel := context.WithCancel(context.Background())
		r := long([]string{"a", "b"}[round%2])
		r.Choices = random.IntN(3)
		r.Prompt = slices.Repeat([]int32{7}, 1+random.IntN(200))
		s, err := e.Submit(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		other := submit(t, e, kept)
		left := random.IntN(20)
		last := error(nil)
		for _, err := range s.Tokens() {
			if last = err; left == 0 {
				if round%3 == 0 {
					break
				}
				cancel()
			}
			left--
		}
		cancel()
		if round%3 != 0 && !errors.Is(last, context.Canceled) {
			t.Errorf("round %d: %v", round, last)
		}
		if got := collect(other, Request{})[0]; !slices.Equal(got.tokens, want.tokens) {
			t.Errorf("round %d: %v, want %v", round, got, want)
		}
		for _, outcome := range s.Outcomes() {
			if round%3 != 0 && outcome.Finish != runtime.FinishCancelled {
				t.Errorf("round %d: finished by %q", round, outcome.Finish)
			}
		}
	}
	e.Close()
	if taken := m.KVTaken(); taken != 0 {
		t.Errorf("%d bytes of pages stay taken", taken)
	}
}

// TestClose ends an engine that is full: all streams end, and nothing is taken in any more.
func TestClose(t *testing.T) {
	m := open(t, "fable-draft", int4)
	e := start(t, m, Options{Texts: 2, interfere: paced})
	var streams []*Stream
	for range 5 {
		streams = append(streams, submit(t, e, long("")))
	}
	e.Close()
	e.Close()
	for _, s := range streams {
		if got := collect(s, Request{})[0]; !errors.Is(got.err, runtime.ErrClosed) {
			t.Errorf("%v", got)
		}
	}
	if _, err := e.Submit(context.Background(), long("")); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if m.KVTaken() != 0 {
		t.Errorf("%d bytes of pages stay taken", m.KVTaken())
	}
}

// TestModelCloses closes the model under an engine that runs: its requests end with ErrClosed.
func TestModelCloses(t *testing.T) {
	m := open(t, "fable-draft", int4)
	e := start(t, m, Options{interfere: paced})
	s := submit(t, e, long(""))
	last := error(nil)
	for _, err := range s.Tokens() {
		last = err
		m.Close()
	}
	if !errors.Is(last, runtime.ErrClosed) {
		t.Errorf("%v", last)
	}
	if _, err := e.Submit(context.Background(), long("")); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestNothingAskedFor asks for no tokens.
func TestNothingAskedFor(t *testing.T) {
	e := start(t, open(t, "fable-draft", int4), Options{})
	if got := collect(submit(t, e, short("", 0)), Request{})[0]; got.err != nil || len(got.tokens) != 0 || got.finish != runtime.FinishLength {
		t.Errorf("%v", got)
	}
}

// TestChoiceSeeds: the first choice has the seed itself, and no two have the same.
func TestChoiceSeeds(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(50) {
		if ChoiceSeed(seed, 0) != seed {
			t.Errorf("the first choice of %d has seed %d", seed, ChoiceSeed(seed, 0))
		}
		for i := range 50 {
			seen[ChoiceSeed(seed, i)] = true
		}
	}
	if len(seen) != 2500 {
		t.Errorf("%d seeds of 2500 choices", len(seen))
	}
}

// TestEchoAlone asks for nothing but the probabilities of a prompt, short and long.
func TestEchoAlone(t *testing.T) {
	m := open(t, "fable-draft", int4)
	e := start(t, m, Options{})
	for _, length := range []int{1, 2, 3, 64, 65, 200, 512} {
		r := Request{Prompt: story(t, m)[:length], Echo: true, Top: 3, Choices: 2, Limits: []runtime.GenerateOption{runtime.MaxTokens(0)}}
		want := alone(t, m, r)
		for i, got := range collect(submit(t, e, r), r) {
			if !got.equal(want[i]) || i == 0 && len(got.prompt) != length-1 {
				t.Errorf("a prompt of %d, choice %d: %d probabilities, %v, want %v", length, i, len(got.prompt), got, want[i])
			}
		}
	}
}

// TestNothingAllowed ends a request whose constraint forbids everything after a few tokens; the others go on.
func TestNothingAllowed(t *testing.T) {
	m := open(t, "fable-draft", int4)
	e := start(t, m, Options{})
	other := submit(t, e, short("", 30))
	r := short("", 30)
	r.Choices = 3
	r.Limits = append(r.Limits, runtime.Constrain(func() runtime.Allowed {
		return func(generated []int32) runtime.Mask {
			if len(generated) < 5 {
				return nil
			}
			return runtime.Mask{}
		}
	}))
	for i, got := range collect(submit(t, e, r), r) {
		if !errors.Is(got.err, runtime.ErrNothingAllowed) || len(got.tokens) != 5 {
			t.Errorf("choice %d: %v", i, got)
		}
	}
	if got := collect(other, Request{})[0]; got.err != nil || len(got.tokens) != 30 {
		t.Errorf("another request: %v", got)
	}
}
