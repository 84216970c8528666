package bench

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
)

func model(t *testing.T) *runtime.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fable-draft.tti")
	if err := convert.Convert(context.Background(), filepath.Join("..", "..", "..", "testdata", "fable-draft"), path, convert.Options{Mode: convert.Int4, NoSync: true}); err != nil {
		t.Fatal(err)
	}
	m, err := runtime.Open(path, runtime.WithThreads(runtime.NewThreads(1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestMeasure checks all figures but those that depend on the machine.
func TestMeasure(t *testing.T) {
	m := model(t)
	last := int64(0)
	r, err := Measure(context.Background(), m, Options{Texts: []int{1, 3}, Prompt: 40, Tokens: 20, Repeats: 2, Progress: func(done, total int64) {
		if done != last+1 || total != 12 {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 || last != 12 || r.Prompt != 40 || r.Tokens != 20 {
		t.Fatalf("%+v", r)
	}
	for i, row := range r.Rows {
		if row.Texts != []int{1, 1, 3, 3}[i] || row.Shared != (i%2 == 1) || row.Cached != []int{0, 30}[i%2] {
			t.Errorf("row %d: %+v", i, row)
		}
		for _, p := range []Percentiles{row.FirstToken, row.Gap} {
			if !(0 < p.P50 && p.P50 <= p.P95 && p.P95 <= p.P99 && p.P99 <= p.Longest) {
				t.Errorf("row %d: percentiles %+v", i, p)
			}
		}
		for _, rate := range []Rate{row.OnePass, row.Total} {
			if !(0 < rate.Low && rate.Low <= rate.Median && rate.Median <= rate.High) {
				t.Errorf("row %d: rate %+v", i, rate)
			}
		}
	}
	if m.KVTaken() != 0 {
		t.Errorf("%d bytes stay taken", m.KVTaken())
	}
}

// TestCount takes in two texts whose times are given: the first has a token every second from 1 on, the other every two from
// 3 on.
func TestCount(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(seconds ...int) (came []time.Time) {
		for _, s := range seconds {
			came = append(came, began.Add(time.Duration(s)*time.Second))
		}
		return came
	}
	var one measurement
	one.count(began, []text{{began, at(1, 2, 3, 4, 5, 6, 7), 3}, {began.Add(time.Second), at(3, 5, 7, 9), 5}})
	r := one.result()
	// Both decode from 3 to 7: 4 tokens of the first and 2 of the other in 4 seconds; 11 tokens in 9 seconds.
	if r.Decode.Median != 1.5 || r.Total.Median != 11.0/9 || r.Cached != 4 || r.FirstToken.Longest != 2000 || r.FirstToken.P50 != 2000 ||
		r.Gap.P50 != 1000 || r.Gap.Longest != 2000 {
		t.Errorf("%+v", r)
	}
}

func TestRefusals(t *testing.T) {
	m := model(t)
	for name, o := range map[string]Options{
		"long texts": {Prompt: 400, Tokens: 200}, "many texts": {Texts: []int{500}}, "no texts": {Texts: []int{0}}, "short prompts": {Prompt: 1},
	} {
		if _, err := Measure(context.Background(), m, o); !errors.Is(err, runtime.ErrOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(cancelled, m, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
