package runtime_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/format/trials"
	"github.com/tti-llm/tti/runtime"
)

// users are all that may be done with a model, over and over while it is open. Each returns the first error it meets.
var users = map[string]func(m *runtime.Model) error{
	"generate": func(m *runtime.Model) error {
		for _, err := range m.Generate(context.Background(), tale(20), runtime.Sampling{Temperature: 1}, runtime.MaxTokens(5), runtime.IgnoreEOS()) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"prefill": func(m *runtime.Model) error {
		s := m.NewSession()
		defer s.Close()
		_, err := s.AppendAll(tale(200))
		return err
	},
	"fork": func(m *runtime.Model) error {
		s := m.NewSession()
		defer s.Close()
		if _, err := s.Append(tale(3)); err != nil {
			return err
		}
		fork, err := s.Fork()
		if err != nil {
			return err
		}
		defer fork.Close()
		_, err = fork.Append(tale(1))
		return err
	},
	"batch": func(m *runtime.Model) error {
		first, second, b := m.NewSession(), m.NewSession(), m.NewBatch()
		defer first.Close()
		defer second.Close()
		err := errors.Join(b.Add(first, tale(5), 1), b.Add(second, tale(7), 2))
		if err == nil {
			err = b.Run(context.Background())
		}
		return err
	},
	"evaluate": func(m *runtime.Model) error {
		_, err := m.Evaluate(context.Background(), tale(100), nil)
		return err
	},
	"encode": func(m *runtime.Model) error {
		_, err := m.Tokenizer().Encode(strings.Repeat("Once upon a time there was a wolf. ", 10000))
		return err
	},
	"encode nothing": func(m *runtime.Model) error {
		_, err := m.Tokenizer().EncodeSpecial("")
		return err
	},
	"decode": func(m *runtime.Model) error {
		_, err := m.Tokenizer().Decode(tale(100))
		return err
	},
	"decode nothing": func(m *runtime.Model) error {
		_, err := m.Tokenizer().Decode(nil)
		return err
	},
	"stream": func(m *runtime.Model) error {
		_, err := m.Tokenizer().NewStream().Next(5)
		return err
	},
	"bookkeeping": func(m *runtime.Model) error {
		g, err := m.NewGeneration([]int32{0})
		if err == nil {
			_, err = g.Accept(5)
		}
		return err
	},
	"threads": func(m *runtime.Model) error {
		threads := runtime.NewThreads(1)
		defer threads.Close()
		return m.UseThreads(threads)
	},
	"verify": func(m *runtime.Model) error { return m.File().Verify(context.Background(), nil) },
	"meta": func(m *runtime.Model) error {
		_, err := m.File().Meta()
		return err
	},
}

// TestCloseAtAnyTime closes models that many goroutines use, at random moments.
func TestCloseAtAnyTime(t *testing.T) {
	path := modelFile(t, "fable-draft", int4)
	shared := runtime.NewThreads(2)
	defer shared.Close()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for round := range trials.Count(t, 60, 150) {
		options := []runtime.Option{runtime.WithoutVerify()}
		if round%2 == 0 {
			options = append(options, runtime.WithThreads(shared))
		}
		m, err := runtime.Open(path, options...)
		if err != nil {
			t.Fatal(err)
		}
		early := m.NewSession()
		if _, err := early.Append(tale(3)); err != nil {
			t.Fatal(err)
		}

		var group sync.WaitGroup
		for name, use := range users {
			if random.IntN(3) == 0 { // or the slow ones would always be in the way of the others
				continue
			}
			group.Go(func() {
				for {
					if err := use(m); errors.Is(err, runtime.ErrClosed) {
						return
					} else if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(random.Int64N(int64(4 * time.Millisecond))))
		for range 2 { // closing twice at once does no harm
			group.Go(func() {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		for name, use := range users {
			if err := use(m); !errors.Is(err, runtime.ErrClosed) {
				t.Fatalf("%s after Close: %v", name, err)
			}
		}
		if _, err := early.Append(tale(1)); !errors.Is(err, runtime.ErrClosed) || early.Len() != 3 {
			t.Fatalf("a session of before, after Close: %v, %d tokens", err, early.Len())
		}
		if _, err := early.Fork(); !errors.Is(err, runtime.ErrClosed) {
			t.Fatalf("its fork: %v", err)
		}
		if m.Threads() != nil || m.UseThreads(nil) == nil {
			t.Fatal("a closed model has threads")
		}
		early.Close()
		group.Wait()
	}
}

// TestCloseWithinTheLoop closes the model from where its text is used.
func TestCloseWithinTheLoop(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", int4))
	tokens := 0
	var last error
	for _, err := range m.Generate(context.Background(), tale(5), runtime.Sampling{}, runtime.IgnoreEOS()) {
		if last = err; err != nil {
			continue
		}
		if tokens++; tokens == 3 {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if tokens != 3 || !errors.Is(last, runtime.ErrClosed) {
		t.Errorf("%d tokens, then %v", tokens, last)
	}
}

// TestCloseEndsLongCalls closes the model while a long text is encoded or run, which would take much longer.
func TestCloseEndsLongCalls(t *testing.T) {
	for name, use := range map[string]func(*runtime.Model) error{
		"encode": func(m *runtime.Model) error {
			_, err := m.Tokenizer().Encode(strings.Repeat("wolf and fox ", 1<<20))
			return err
		},
		"evaluate": func(m *runtime.Model) error {
			_, err := m.Evaluate(context.Background(), make([]int32, 1<<20), nil)
			return err
		},
	} {
		m := open(t, modelFile(t, "fable-draft", int4))
		ended := make(chan error)
		go func() { ended <- use(m) }()
		time.Sleep(20 * time.Millisecond)
		m.Close()
		if err := <-ended; !errors.Is(err, runtime.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
