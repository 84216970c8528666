package bench

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

func BenchmarkPass(b *testing.B) {
	for _, threads := range []int{1, 2} {
		m, err := runtime.Open(os.Getenv("PASS_MODEL"), runtime.WithThreads(threads))
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{1, 2, 3, 4, 5, 7, 9} {
			s, _ := m.NewSession()
			ids := make([]int32, 128)
			for i := range ids {
				ids[i] = int32(i*37%1000 + 1)
			}
			s.Append(ids)
			b.Run(fmt.Sprintf("t%d/%d", threads, n), func(b *testing.B) {
				for range b.N {
					s.Truncate(100)
					s.AppendAll(ids[:n])
				}
			})
		}
		m.Close()
	}
}

func BenchmarkPropose(b *testing.B) {
	for _, temp := range []float64{0, 0.8} {
		for _, threads := range []int{1, 2} {
			m, err := runtime.Open(os.Getenv("PASS_MODEL"), runtime.WithThreads(threads))
			if err != nil {
				b.Fatal(err)
			}
			d, _ := spec.NewModel(m, m)
			ids := make([]int32, 100)
			for i := range ids {
				ids[i] = int32(i*37%1000 + 1)
			}
			smp, _ := runtime.NewSampler(runtime.Sampling{Temperature: temp, TopK: 40})
			b.Run(fmt.Sprintf("temp%v/t%d", temp, threads), func(b *testing.B) {
				for range b.N {
					d.Propose(context.Background(), ids, 4, smp, func(float64) bool { return true })
				}
			})
			m.Close()
		}
	}
}
