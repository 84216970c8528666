package spec

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/format/trials"
	"github.com/tti-llm/tti/runtime"
)

// TestCloseAtAnyTime closes a target and its draft, in any order, while texts are generated: those end with ErrClosed once
// the target is closed, and go on without a draft that is.
func TestCloseAtAnyTime(t *testing.T) {
	targetPath, draftPath := model(t, "fable-draft", int8).File().Path(), model(t, "fable-draft", int4).File().Path()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range trials.Count(t, 30, 100) {
		target, err := runtime.Open(targetPath, runtime.WithoutVerify())
		if err != nil {
			t.Fatal(err)
		}
		draft, err := runtime.Open(draftPath, runtime.WithoutVerify())
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for writer := range 3 {
			group.Go(func() {
				for {
					err := write(target, draft, writer)
					if errors.Is(err, runtime.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		models := []*runtime.Model{target, draft}
		random.Shuffle(2, func(i, j int) { models[i], models[j] = models[j], models[i] })
		for _, m := range models {
			time.Sleep(time.Duration(random.Int64N(int64(4 * time.Millisecond))))
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := write(target, draft, 0); !errors.Is(err, runtime.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		group.Wait()
	}
}

// write generates a short text with a drafter of its own.
func write(target, draft *runtime.Model, seed int) error {
	drafter, err := NewModel(draft, target)
	if err != nil {
		return err
	}
	defer drafter.Close()
	d := New(target, drafter, &NGram{})
	defer d.Close()
	d.Length = seed
	for _, err := range d.Generate(context.Background(), []int32{5, 6, 7}, runtime.Sampling{Temperature: 1, Seed: uint64(seed)}, runtime.MaxTokens(20), runtime.IgnoreEOS()) {
		if err != nil {
			return err
		}
	}
	if err := d.Statistics().DraftError; err != nil && !errors.Is(err, runtime.ErrClosed) {
		return err
	}
	return nil
}
