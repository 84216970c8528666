package kernels

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/quant"
)

const (
	benchColumns = 768
	largeBytes   = 124e6 // the int8 weights of GPT-2
)

// benchMatrix returns a matrix of about the given number of bytes.
func benchMatrix(b *testing.B, encoding format.Encoding, bytes int) quant.Matrix {
	one, err := encoding.Size([]int{panelRows, benchColumns})
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	i := 0
	return randomMatrix(b, random, encoding, bytes/int(one)*panelRows, benchColumns, func() float32 {
		i++
		return float32(i%15) * 0.01
	})
}

// onThreads runs f for parts of the panels 0 <= p < panels that begin at multiples of 8.
func onThreads(threads, panels int, f func(first, last int)) {
	var group sync.WaitGroup
	first := 0
	for t := range threads - 1 {
		last := panels * (t + 1) / threads / 8 * 8
		from := first
		group.Go(func() { f(from, last) })
		first = last
	}
	f(first, panels)
	group.Wait()
}

// BenchmarkMatMul measures products with weights in the second-level cache, of one
// layer and beyond all caches. Its bytes are those of the weights, whatever the number of tokens.
func BenchmarkMatMul(b *testing.B) {
	for _, encoding := range matrixEncodings {
		for _, bytes := range []int{590e3, 2360e3, largeBytes} {
			w := benchMatrix(b, encoding, bytes)
			for _, threads := range []int{1, 2} {
				for _, set := range Sets() {
					for _, tokens := range []int{1, 2, 3, 4, 5, 8, 16, 64} {
						if set == &reference && (tokens > 1 || bytes > 1e6) {
							continue // hours
						}
						name := fmt.Sprintf("%v/%gMB/threads=%d/%s/tokens=%d", encoding, float64(bytes)/1e6, threads, set.Name(), tokens)
						b.Run(name, func(b *testing.B) { benchMatMul(b, set, &w, tokens, threads) })
					}
				}
			}
		}
	}
}

func benchMatMul(b *testing.B, set *Set, w *quant.Matrix, tokens, threads int) {
	x := input(rand.New(rand.NewPCG(2, 2)), tokens, benchColumns)
	rows := w.Panels() * panelRows
	out, bias := make([]float32, tokens*rows), make([]float32, rows)
	b.SetBytes(weightBytes(w))
	for b.Loop() {
		onThreads(threads, w.Panels(), func(first, last int) { set.MatMul(out, rows, w, x, bias, first, last) })
	}
	products := float64(rows) * benchColumns * float64(tokens) * float64(b.N)
	b.ReportMetric(products/b.Elapsed().Seconds()/1e9, "GMAC/s")
}

func weightBytes(w *quant.Matrix) int64 {
	return int64(len(w.Codes) + 4*len(w.RowScales) + 2*len(w.GroupScales))
}

// BenchmarkStream is the bound that memory sets to BenchmarkMatMul with one token.
func BenchmarkStream(b *testing.B) {
	for _, encoding := range matrixEncodings {
		w := benchMatrix(b, encoding, largeBytes)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/%gMB/threads=%d", encoding, largeBytes/1e6, threads), func(b *testing.B) {
				b.SetBytes(int64(len(w.Codes)))
				for b.Loop() {
					onThreads(threads, w.Panels(), func(first, last int) { Stream(w.Codes[first*w.PanelBytes() : last*w.PanelBytes()]) })
				}
			})
		}
	}
}
