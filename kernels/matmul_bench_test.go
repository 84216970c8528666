package kernels

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
)

const (
	benchColumns = 768
	largeBytes   = 124e6 // the int8 weights of GPT-2
)

// benchMatrix returns a matrix of about the given number of bytes.
func benchMatrix(b *testing.B, encoding format.Encoding, bytes int) panel.Matrix {
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
						b.Run(name, func(b *testing.B) { benchMatMul(b, set.ForWeights(weightBytes(&w)), &w, tokens, threads) })
					}
				}
			}
		}
	}
}

func benchMatMul(b *testing.B, set *Set, w *panel.Matrix, tokens, threads int) {
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

func weightBytes(w *panel.Matrix) int64 {
	return int64(len(w.Codes) + 4*len(w.RowScales) + 2*len(w.GroupScales))
}

// BenchmarkAgainstRead measures products and Set.Read of the same weights in turn, in pieces of
// about 2 MB, so that both see the same noise of a shared machine. Of each piece it counts the
// lower quintile of all rounds; it reports GB/s and GMAC/s of the product and its speed relative to the read.
func BenchmarkAgainstRead(b *testing.B) {
	for _, encoding := range matrixEncodings {
		w := benchMatrix(b, encoding, largeBytes)
		for _, threads := range []int{1, 2} {
			for _, set := range Sets() {
				for _, tokens := range []int{1, 2, 3, 4, 5, 6, 8, 16, 64} {
					if set == &reference {
						continue
					}
					name := fmt.Sprintf("%v/threads=%d/%s/tokens=%d", encoding, threads, set.Name(), tokens)
					b.Run(name, func(b *testing.B) { benchAgainstRead(b, set.ForWeights(weightBytes(&w)), &w, tokens, threads) })
				}
			}
		}
	}
}

func benchAgainstRead(b *testing.B, set *Set, w *panel.Matrix, tokens, threads int) {
	x := input(rand.New(rand.NewPCG(2, 2)), tokens, benchColumns)
	rows := w.Panels() * panelRows
	out, bias := make([]float32, tokens*rows), make([]float32, rows)
	piece := 2 << 20 / w.PanelBytes() / 8 * 8
	times := make(map[bool]map[int][]float64) // of reads or products: seconds by first panel
	var lock sync.Mutex
	measure := func(product bool, first int, f func()) {
		start := time.Now()
		f()
		seconds := time.Since(start).Seconds()
		lock.Lock()
		defer lock.Unlock()
		if times[product] == nil {
			times[product] = make(map[int][]float64)
		}
		times[product][first] = append(times[product][first], seconds)
	}
	pass := func(product bool, f func(first, last int)) {
		onThreads(threads, w.Panels(), func(first, last int) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for p := first; p < last; p += piece {
				measure(product, p, func() { f(p, min(p+piece, last)) })
			}
		})
	}
	for b.Loop() {
		pass(false, func(first, last int) { set.Read(w.Codes[first*w.PanelBytes() : last*w.PanelBytes()]) })
		pass(true, func(first, last int) { set.MatMul(out, rows, w, x, bias, first, last) })
	}
	quintile := func(product bool) (sum float64) {
		for _, seconds := range times[product] {
			slices.Sort(seconds)
			sum += seconds[len(seconds)/5]
		}
		return sum / float64(threads)
	}
	read, product := quintile(false), quintile(true)
	b.ReportMetric(float64(weightBytes(w))/product/1e9, "GB/s")
	b.ReportMetric(float64(rows)*benchColumns*float64(tokens)/product/1e9, "GMAC/s")
	b.ReportMetric(float64(len(w.Codes))/read/1e9, "read-GB/s")
	b.ReportMetric(read/product, "of-read")
}
