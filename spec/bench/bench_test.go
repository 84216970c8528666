package bench

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

func model(t *testing.T, source string, o convert.Options) *runtime.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), source+".tti")
	o.NoSync = true
	if err := convert.Convert(context.Background(), filepath.Join("..", "..", "testdata", source), path, o); err != nil {
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
	target := model(t, "fable", convert.Options{Mode: convert.Int8})
	draft := model(t, "fable-draft", convert.Options{Mode: convert.Int4})
	prompts := [][]int32{{100, 200, 300}, {7}}
	for name, makeDrafters := range map[string]func() ([]spec.Drafter, error){
		"model": func() ([]spec.Drafter, error) {
			d, err := spec.NewModel(draft, target)
			return []spec.Drafter{d}, err
		},
		"right 3 times in 4": func() ([]spec.Drafter, error) {
			d, err := Scripted(context.Background(), draft, target, prompts, 200, 0.75)
			return []spec.Drafter{d}, err
		},
		"always right": func() ([]spec.Drafter, error) {
			d, err := Scripted(context.Background(), draft, target, prompts, 200, 1)
			return []spec.Drafter{d}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			last := int64(0)
			result, err := Measure(context.Background(), target, makeDrafters, Options{
				Prompts: prompts, Tokens: 121, Lengths: []int{2, 5}, Repeats: 1, Progress: func(done, total int64) {
					if done != last+1 || done > total {
						t.Errorf("progress %d of %d after %d", done, total, last)
					}
					last = done
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Rows) != 4 || result.Rows[0].Name != "baseline" || result.Rows[1].Name != "k = 2" || result.Rows[3].Name != "adaptive" {
				t.Fatalf("%+v", result.Rows)
			}
			if r := result.Rows[0]; r.Speedup != 1 || r.PassesPerToken != 1 || r.Acceptance != 0 || r.Rate <= 0 {
				t.Errorf("baseline %+v", r)
			}
			for _, r := range result.Rows {
				if !(r.RateLow <= r.Rate && r.Rate <= r.RateHigh) {
					t.Errorf("quartiles of %+v", r)
				}
			}
			for _, r := range result.Rows[1:3] {
				if r.Rate <= 0 || r.Speedup <= 0 || r.PassesPerToken >= 0.8 || r.MeanAccepted > float64(r.Length) {
					t.Errorf("%+v", r)
				}
				switch name {
				case "right 3 times in 4":
					if math.Abs(r.Acceptance-0.75) > 0.1 {
						t.Errorf("%+v", r)
					}
				case "always right":
					// A draft ends with an end-of-text token, which costs a pass.
					if passes := 1.0 + math.Ceil(120/float64(r.Length+1)); r.Acceptance != 1 || math.Abs(121*r.PassesPerToken-passes) > 2 {
						t.Errorf("%+v, want %v passes", r, passes)
					}
				}
			}
			if c := result.Costs; c.Guess <= 0 || c.Draw <= 0 || math.Abs(c.Pass[0]+c.Draw-1) > 1e-9 || result.Theory < 1 {
				t.Errorf("costs %+v, theory %v", c, result.Theory)
			}
		})
	}
}

// TestGain compares the formula with one that adds up the chances of every length.
func TestGain(t *testing.T) {
	c := Costs{Guess: 0.1, Draw: 0.05}
	for k := range spec.MaxLength + 1 {
		c.Pass = append(c.Pass, 0.95+0.1*float64(k))
	}
	for _, a := range []float64{0, 0.5, 0.9, 1} {
		for k := 1; k <= spec.MaxLength; k++ {
			tokens := 0.0
			for i := 0; i <= k; i++ {
				tokens += math.Pow(a, float64(i))
			}
			want := tokens / (0.1*float64(k) + 0.95 + 0.1*float64(k) + 0.05*tokens)
			if got := c.Gain(a, k); math.Abs(got-want) > 1e-12 {
				t.Errorf("a %v, k %d: %v, want %v", a, k, got, want)
			}
		}
	}
	if gain, k := c.Best(0); gain != 1 || k != 0 {
		t.Errorf("hopeless: %v with %d", gain, k)
	}
}

func TestLuckIsAsOftenAsAsked(t *testing.T) {
	for _, rate := range []float64{0, 0.3, 0.85, 0.99, 1} {
		right, inARow := 0, 0
		for i := range 20_000 {
			if lucky(i, 7, rate) {
				right++
				if lucky(i+1, 7, rate) {
					inARow++
				}
			}
		}
		if got := float64(right) / 20_000; math.Abs(got-rate) > 1e-9 {
			t.Errorf("right at a rate of %v, want %v", got, rate)
		}
		if got := float64(inARow) / float64(max(right, 1)); math.Abs(got-rate) > 0.05 {
			t.Errorf("right at a rate of %v after right ones, want %v", got, rate)
		}
	}
}
