package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tti-llm/tti/spec/engine"
)

// TestLoad streams to 32 clients for as long as TTI_LOAD says, such as 5m, or a moment: no request fails, health is told all the
// while, and nothing grows. The prefix cache, which would, is off.
func TestLoad(t *testing.T) {
	length := 3 * time.Second
	if text := os.Getenv("TTI_LOAD"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	c := serve(t, Options{Engine: engine.Options{Prefixes: -1}})
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The"}`)
	before := memory(t, c)
	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	var clients sync.WaitGroup
	var answers, chunks atomic.Int64
	for i := range 32 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf(`{"model":"llama","messages":[{"role":"user","content":"Story %d of %d"}],"stream":true,"max_tokens":%d}`, n, i, 20+n%40)
				r := c.send("POST", chatPath, body)
				text, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || r.StatusCode != 200 || !strings.HasSuffix(string(text), "data: [DONE]\n\n") {
					t.Errorf("status %d, %v: %.300s", r.StatusCode, err, text)
					return
				}
				answers.Add(1)
				chunks.Add(int64(strings.Count(string(text), "\n\n")))
			}
		})
	}
	var took []time.Duration
	for ctx.Err() == nil {
		start := time.Now()
		c.ask(200, "GET", "/health", "")
		took = append(took, time.Since(start))
		time.Sleep(10 * time.Millisecond)
	}
	clients.Wait()
	waitIdle(t, c.server)
	http.DefaultClient.CloseIdleConnections()
	until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before.goroutines+10 })
	after := memory(t, c)
	slices.Sort(took)
	t.Logf("%d answers, %.0f chunks/s, health p50 %v, p99 %v; heap %d kB before, %d kB after", answers.Load(), float64(chunks.Load())/length.Seconds(),
		took[len(took)/2], took[len(took)*99/100], before.heap/1000, after.heap/1000)
	if after.heap > before.heap+20e6 { // what metrics and the pool of pages keep
		t.Errorf("the heap has grown from %d to %d bytes", before.heap, after.heap)
	}
}

// footprint is what must not grow.
type footprint struct {
	heap       uint64 // bytes in use after a collection
	goroutines int
}

func memory(t *testing.T, c client) footprint {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	var statistics runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&statistics)
	return footprint{statistics.HeapAlloc, runtime.NumGoroutine()}
}
