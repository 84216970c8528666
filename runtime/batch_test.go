package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/runtime"
)

// sequenceText is the text of one sequence of a batch, and its logits when it is alone.
type sequenceText struct {
	ids    []int32
	logits [][]float32 // after every token
}

// alone runs texts of random lengths, each in a session of its own and in one piece.
func alone(t *testing.T, m *runtime.Model, random *rand.Rand, count int) []sequenceText {
	t.Helper()
	texts := make([]sequenceText, count)
	for i := range texts {
		ids := make([]int32, 1+random.IntN(120))
		for j := range ids {
			ids[j] = random.Int32N(int32(m.Shape().Vocabulary))
		}
		s := session(t, m)
		rows, err := s.AppendAll(ids)
		if err != nil {
			t.Fatal(err)
		}
		texts[i].ids = ids
		for _, row := range rows {
			texts[i].logits = append(texts[i].logits, slices.Clone(row))
		}
		s.Close()
	}
	return texts
}

// TestBatchesAreTheSessionsAlone mixes pieces of prompts, single tokens and verifications of 1 to 40 sequences at random,
// in all encodings of weights and caches, on all kernels and numbers of threads, with pages of all sizes: every row of
// logits is what the sequence alone gives.
func TestBatchesAreTheSessionsAlone(t *testing.T) {
	for k, mode := range modes {
		path := modelFile(t, "fable-draft", mode)
		encoding := []runtime.KV{runtime.F32, runtime.F16, runtime.Int8}[k%3]
		t.Run(fmt.Sprint(mode.Mode, mode.Int4, " ", encoding), func(t *testing.T) {
			random := rand.New(rand.NewPCG(31, uint64(k)))
			reference := open(t, path, runtime.WithKV(encoding), runtime.WithThreads(runtime.NewThreads(1)), runtime.WithoutVerify())
			most := 40
			if reference.Kernels() == "go" { // nothing else is there
				most = 3
			}
			texts := alone(t, reference, random, most)
			for _, set := range kernels.Sets() {
				rounds := 6
				if set.Name() == "go" { // slow
					rounds = 1
				}
				for round := range rounds {
					threads, page := 1+random.IntN(4), 16<<random.IntN(3)
					m := open(t, path, runtime.WithKV(encoding), runtime.WithThreads(runtime.NewThreads(threads)), runtime.WithoutVerify(),
						runtime.WithKernels(set.Name()), runtime.WithKVPages(page))
					count := 1 + random.IntN(most)
					if set.Name() == "go" {
						count = 3
					}
					runMixture(t, m, random, texts[:count], fmt.Sprintf("%s, round %d, %d threads, pages of %d, %d sequences", set.Name(), round, threads, page, count))
					m.Close()
				}
			}
		})
	}
}

// runMixture runs all texts in batches of random parts and compares every row that it asks for.
func runMixture(t *testing.T, m *runtime.Model, random *rand.Rand, texts []sequenceText, what string) {
	t.Helper()
	sessions := make([]*runtime.Session, len(texts))
	for i := range sessions {
		sessions[i] = session(t, m)
	}
	batch := m.NewBatch()
	for left := len(texts); left > 0; {
		var in []int
		var wanted []int
		for i, text := range texts {
			rest := len(text.ids) - sessions[i].Len()
			if rest == 0 || random.IntN(3) == 0 {
				continue
			}
			n := min(rest, []int{1, 1 + random.IntN(8), 1 + random.IntN(90)}[random.IntN(3)])
			logits := []int{0, 1, n}[random.IntN(3)]
			if err := batch.Add(sessions[i], text.ids[sessions[i].Len():][:n], logits); err != nil {
				t.Fatal(err)
			}
			in, wanted = append(in, i), append(wanted, logits)
			if n == rest {
				left--
			}
		}
		if len(in) == 0 {
			continue
		}
		if err := batch.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		for j, i := range in {
			rows := batch.Logits(j)
			if len(rows) != wanted[j] {
				t.Fatalf("%s: %d rows, want %d", what, len(rows), wanted[j])
			}
			for r, row := range rows {
				at := sessions[i].Len() - len(rows) + r
				sameBits(t, fmt.Sprintf("%s: sequence %d, position %d", what, i, at), row, texts[i].logits[at])
			}
			if !slices.Equal(sessions[i].Tokens(), texts[i].ids[:sessions[i].Len()]) {
				t.Fatalf("%s: sequence %d holds other tokens", what, i)
			}
		}
	}
}

// TestForksShareAndDiverge forks sessions at random places, lets all of them go on and takes positions back: each gives
// what its tokens alone give, and pages that are shared count once.
func TestForksShareAndDiverge(t *testing.T) {
	path := modelFile(t, "fable-draft", int4)
	for _, page := range []int{16, 32} {
		m := open(t, path, runtime.WithKVPages(page))
		random := rand.New(rand.NewPCG(41, uint64(page)))
		check := func(s *runtime.Session) {
			t.Helper()
			next := []int32{random.Int32N(2000)}
			ids := append(slices.Clone(s.Tokens()), next...)
			got, err := s.Append(next)
			if err != nil {
				t.Fatal(err)
			}
			got = slices.Clone(got)
			fresh := session(t, m)
			want, err := fresh.Append(ids)
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, fmt.Sprintf("a fork of %d tokens", len(ids)), got, want)
			fresh.Close()
		}
		first := session(t, m)
		if _, err := first.Append(tale(70)); err != nil {
			t.Fatal(err)
		}
		taken := m.KVTaken()
		family := []*runtime.Session{first}
		fork, err := first.Fork()
		if err != nil {
			t.Fatal(err)
		}
		if m.KVTaken() != taken {
			t.Errorf("a fork takes %d bytes, want none", m.KVTaken()-taken)
		}
		family = append(family, fork)
		for range 60 {
			i := random.IntN(len(family))
			switch s := family[i]; random.IntN(5) {
			case 0:
				if fork, err = s.Fork(); err != nil {
					t.Fatal(err)
				}
				family = append(family, fork)
			case 1:
				s.Truncate(random.IntN(s.Len() + 1))
			case 2:
				if len(family) > 1 {
					s.Close()
					family = slices.Delete(family, i, i+1)
				}
			case 3:
				if _, err := s.Append(tale(1 + random.IntN(40))); err != nil {
					t.Fatal(err)
				}
			default:
				check(s)
			}
		}
		for _, s := range family {
			check(s)
			s.Close()
		}
		if m.KVTaken() != 0 {
			t.Errorf("%d bytes stay taken", m.KVTaken())
		}
	}
}

// TestSessionsLeaveNoPage opens, uses, forks and closes sessions from several goroutines, some of which are left to the
// garbage collector.
func TestSessionsLeaveNoPage(t *testing.T) {
	sessions := 10_000
	if testing.Short() {
		sessions = 1_000
	}
	m := open(t, modelFile(t, "fable-draft", int4))
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(51, uint64(g)))
			for range sessions / 8 {
				s := m.NewSession()
				if _, err := s.Append(tale(1 + random.IntN(40))); err != nil {
					t.Error(err)
				}
				if random.IntN(2) == 0 {
					fork, err := s.Fork()
					if err == nil {
						_, err = fork.Append(tale(1 + random.IntN(3)))
					}
					if err != nil {
						t.Error(err)
					}
					if random.IntN(20) > 0 {
						fork.Close()
					}
				}
				if random.IntN(20) > 0 {
					s.Close()
				}
			}
		})
	}
	group.Wait()
	for deadline := time.Now().Add(time.Minute); m.KVTaken() != 0 && time.Now().Before(deadline); {
		goruntime.GC() // cleanups of forgotten sessions run some time after it
		time.Sleep(time.Millisecond)
	}
	if m.KVTaken() != 0 {
		t.Errorf("%d bytes stay taken", m.KVTaken())
	}
}

// TestKVLimit runs into the limit in the middle of a batch: the sessions are as they were, and go on when there is room.
func TestKVLimit(t *testing.T) {
	path := modelFile(t, "fable-draft", int4)
	pages := runtime.WithKVPages(32)
	page := open(t, path).KVBytes(32)
	if _, err := runtime.Open(path, pages, runtime.WithKVLimit(page-1)); !errors.Is(err, runtime.ErrKVLimit) {
		t.Errorf("a limit below a page: %v", err)
	}
	m := open(t, path, pages, runtime.WithKVLimit(4*page))
	a, b := session(t, m), session(t, m)
	for _, s := range []*runtime.Session{a, b} {
		if _, err := s.Append(tale(40)); err != nil {
			t.Fatal(err)
		}
	}
	batch := m.NewBatch()
	if err := errors.Join(batch.Add(a, tale(5), 1), batch.Add(b, tale(100), 1)); err != nil {
		t.Fatal(err)
	}
	if err := batch.Run(context.Background()); !errors.Is(err, runtime.ErrKVLimit) || a.Len() != 40 || b.Len() != 40 || m.KVTaken() != 4*page {
		t.Errorf("%v; sessions of %d and %d tokens, %d bytes", err, a.Len(), b.Len(), m.KVTaken())
	}
	if _, err := a.Fork(); err != nil {
		t.Fatal(err)
	}
	b.Close()
	logits, err := a.Append(tale(20))
	if err != nil {
		t.Fatal(err)
	}
	want, err := session(t, open(t, path)).Append(append(tale(40), tale(20)...))
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "after the limit", logits, want)
}

func TestBatchRefuses(t *testing.T) {
	path := modelFile(t, "fable-draft", int4)
	m, other := open(t, path), open(t, path)
	s, closed := session(t, m), session(t, m)
	closed.Close()
	batch := m.NewBatch()
	if err := batch.Run(context.Background()); !errors.Is(err, runtime.ErrEmpty) {
		t.Errorf("an empty batch: %v", err)
	}
	for name, c := range map[string]struct {
		session *runtime.Session
		ids     []int32
		logits  int
		want    error
	}{
		"no tokens":            {s, nil, 0, runtime.ErrEmpty},
		"too many logits":      {s, tale(3), 4, runtime.ErrOption},
		"negative logits":      {s, tale(3), -1, runtime.ErrOption},
		"a foreign token":      {s, []int32{2048}, 1, runtime.ErrToken},
		"too many tokens":      {s, make([]int32, 513), 0, runtime.ErrContextFull},
		"another model":        {session(t, other), tale(3), 1, runtime.ErrMismatch},
		"a closed session":     {closed, tale(3), 1, runtime.ErrClosed},
		"the same session":     {nil, tale(3), 1, runtime.ErrOption},
		"the same, once again": {nil, tale(3), 1, runtime.ErrOption},
	} {
		if c.session == nil {
			c.session = session(t, m)
			if err := batch.Add(c.session, tale(2), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Add(c.session, c.ids, c.logits); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := batch.Run(context.Background()); err != nil || s.Len() != 0 {
		t.Errorf("what was accepted: %v; the refused session has %d tokens", err, s.Len())
	}
	if _, err := closed.Append(tale(1)); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("a closed session: %v", err)
	}
	if _, err := closed.Fork(); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("a fork of a closed session: %v", err)
	}
}

// TestThreadsOutliveTheirUsers closes models that share threads, and the threads themselves, in every order.
func TestThreadsOutliveTheirUsers(t *testing.T) {
	path := modelFile(t, "fable-draft", convert.Options{Mode: convert.Int8})
	use := func(m *runtime.Model) error {
		_, err := m.NewSession().Append(tale(3))
		return err
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		threads := runtime.NewThreads(2)
		a, b := open(t, path, runtime.WithThreads(threads)), open(t, path, runtime.WithThreads(threads))
		closers := []func(){threads.Close, func() { a.Close() }, func() { b.Close() }}
		closed := map[int]bool{}
		for _, i := range order {
			closers[i]()
			closed[i] = true
			for j, m := range []*runtime.Model{a, b} {
				if err := use(m); closed[j+1] != errors.Is(err, runtime.ErrClosed) || !closed[j+1] && err != nil {
					t.Errorf("order %v, after %d: model %d: %v", order, i, j, err)
				}
			}
		}
		if _, err := runtime.Open(path, runtime.WithThreads(threads)); !errors.Is(err, runtime.ErrClosed) {
			t.Errorf("closed threads: %v", err)
		}
	}
	m, other := open(t, path, runtime.WithThreads(runtime.NewThreads(1))), open(t, path, runtime.WithThreads(runtime.NewThreads(3)))
	s := session(t, m)
	want, err := s.Append(tale(20))
	if err != nil {
		t.Fatal(err)
	}
	want = slices.Clone(want)
	if err := m.UseThreads(other.Threads()); err != nil || m.Threads().Count() != 3 {
		t.Errorf("other threads: %v, %d", err, m.Threads().Count())
	}
	other.Close()
	s.Truncate(3)
	got, err := s.Append(tale(20)[3:])
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "on other threads", got, want)
}

// TestForgottenModelIsClosed opens models and forgets them: their mappings and threads go.
func TestForgottenModelIsClosed(t *testing.T) {
	path := modelFile(t, "fable-draft", int4)
	before := goruntime.NumGoroutine()
	for range 20 {
		m, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(3)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.NewSession().Append(tale(5)); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); goruntime.NumGoroutine() > before && time.Now().Before(deadline); {
		goruntime.GC()
		time.Sleep(time.Millisecond)
	}
	if n := goruntime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// TestEach shares calls among threads: every number has its turn once, whatever the number of threads.
func TestEach(t *testing.T) {
	for _, count := range []int{1, 3} {
		threads := runtime.NewThreads(count)
		for _, n := range []int{0, 1, 2, 500} {
			calls := make([]int32, n)
			if err := threads.Each(n, func(i int) { atomic.AddInt32(&calls[i], 1) }); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(calls, func(times int32) bool { return times != 1 }) {
				t.Errorf("%d threads, %d calls: %v", count, n, calls)
			}
		}
		threads.Close()
		if err := threads.Each(1, func(int) {}); !errors.Is(err, runtime.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
	if err := (*runtime.Threads)(nil).Each(1, func(int) {}); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("no threads: %v", err)
	}
}
