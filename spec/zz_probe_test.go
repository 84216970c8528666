package spec_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
	"github.com/tti-llm/tti/spec/bench"
)

func conv(src string, o convert.Options) string {
	p := fmt.Sprintf("/tmp/scratch/%s-%s-%s.tti", src, o.Mode, o.Int4)
	if _, e := os.Stat(p); e != nil {
		o.NoSync = true
		if e := convert.Convert(context.Background(), "../testdata/"+src, p, o); e != nil {
			panic(e)
		}
	}
	return p
}

func TestBenchProbe(t *testing.T) {
	all := convert.Options{Mode: convert.Int4, Int4: convert.All}
	f, _ := os.Open("testdata/prompts.txt")
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			lines = append(lines, s.Text())
		}
	}
	for _, th := range []int{1, 2} {
		for _, c := range []struct {
			to    convert.Options
			dsrc  string
			do    convert.Options
			dth   int
		}{
			{convert.Options{Mode: convert.F32}, "fable", all, 2},
			{convert.Options{Mode: convert.F32}, "fable-draft", convert.Options{Mode: convert.Int4}, 1},
			{convert.Options{Mode: convert.F32}, "fable-draft", convert.Options{Mode: convert.Int4}, 2},
			{convert.Options{Mode: convert.Int8}, "fable-draft", all, 1},
			{convert.Options{Mode: convert.Int8}, "fable-draft", all, 2},
		} {
			if th == 1 && c.dth == 2 && c.dsrc != "fable" {
				continue
			}
			target, _ := runtime.Open(conv("fable", c.to), runtime.WithThreads(th))
			opt := runtime.WithThreadsOf(target)
			if c.dth == 1 {
				opt = runtime.WithThreads(1)
			}
			draft, err := runtime.Open(conv(c.dsrc, c.do), opt)
			if err != nil {
				t.Fatal(err)
			}
			for _, sm := range []runtime.Sampling{{}, {Temperature: .8, TopK: 40}} {
				var ps [][]int32
				for i := range 4 {
					ids, _ := target.Tokenizer().Encode(lines[i*5+2])
					ps = append(ps, ids)
				}
				r, err := bench.Measure(context.Background(), target, func() ([]spec.Drafter, error) {
					d, err := spec.NewModel(draft, target)
					return []spec.Drafter{d}, err
				}, bench.Options{Prompts: ps, Tokens: 200, Sampling: sm, Repeats: 3})
				if err != nil {
					t.Fatal(err)
				}
				fmt.Printf("threads %d/%d target %s draft %s %s temp %v:", target.Threads(), draft.Threads(), c.to.Mode, c.dsrc, draft.Meta().Mode, sm.Temperature)
				for _, w := range r.Rows {
					fmt.Printf(" [%s %.0f/s x%.2f a%.2f p%.2f]", w.Name, w.Rate, w.Speedup, w.Acceptance, w.PassesPerToken)
				}
				fmt.Printf(" theory %.2f r %.3f draw %.3f v %.2f\n", r.Theory, r.Costs.Guess, r.Costs.Draw, r.Costs.Pass[:9])
			}
			draft.Close()
			target.Close()
		}
	}
}
