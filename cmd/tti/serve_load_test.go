//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serving starts tti serve as a process of its own, which is interrupted when the test ends, and returns its URL.
func serving(t *testing.T, args ...string) (url string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(path, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	notes, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(notes)
	for url == "" && lines.Scan() {
		url, _ = strings.CutPrefix(lines.Text(), "listening on ")
		url, _ = strings.CutSuffix(url, "/v1")
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		io.Copy(io.Discard, notes)
	}()
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM)
		<-drained
		if err := server.Wait(); err != nil {
			t.Errorf("tti serve: %v", err)
		}
	})
	if url == "" {
		t.Fatal("tti serve does not listen")
	}
	return url
}

// figures are what /metrics tells of a server, by name; those of several models are added up.
func figures(t *testing.T, url string) map[string]float64 {
	t.Helper()
	r, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			found[name] += value
		}
	}
	return found
}

// streamed reads a stream to its end, and returns its number of chunks.
func streamed(url, body string) (chunks int, err error) {
	r, err := http.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), "data: [DONE]\n\n")) {
		err = fmt.Errorf("status %d: %.300s", r.StatusCode, text)
	}
	return strings.Count(string(text), "\n\n"), err
}

// TestServeLoad streams to 32 clients for as long as TTI_LOAD says, such as 5m, or a moment: no request fails, health is told all
// the while, memory in the last fifth of the time is what it was in the first, and at the end no text holds a page.
func TestServeLoad(t *testing.T) {
	length := 3 * time.Second
	if text := os.Getenv("TTI_LOAD"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	model := filepath.Join(t.TempDir(), "fable-llama.tti")
	if err := convertFor(model, "../../testdata/fable-llama", "int8"); err != nil {
		t.Fatal(err)
	}
	threads := runtime.NumCPU()
	url := serving(t, model, "--threads", strconv.Itoa(threads), "--prefix-memory", "8MB")
	// Without a processor of Go's for requests, health is told every 10 ms at best.
	if processors := figures(t, url)["go_sched_gomaxprocs_threads"]; processors < float64(threads+1) {
		t.Errorf("%v processors for %d threads and for requests", processors, threads)
	}
	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	var clients sync.WaitGroup
	var answers, chunks atomic.Int64
	for i := range 32 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				count, err := streamed(url, fmt.Sprintf(`{"messages":[{"role":"user","content":"Story %d of %d"}],"stream":true,"max_tokens":%d}`, n, i, 20+n%40))
				if err != nil {
					t.Error(err)
					return
				}
				answers.Add(1)
				chunks.Add(int64(count))
			}
		})
	}
	memory := make(chan [2]footprint)
	go func() { memory <- observe(t, ctx, url, length) }()
	var took []time.Duration
	for ctx.Err() == nil {
		start := time.Now()
		if r, err := http.Get(url + "/health"); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("health: %v, %v", r, err)
		} else {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		took = append(took, time.Since(start))
		time.Sleep(10 * time.Millisecond)
	}
	fifths := <-memory
	clients.Wait()
	slices.Sort(took)
	share := func(percent int) time.Duration { return took[len(took)*percent/100] }
	t.Logf("%d answers, %.0f chunks/s", answers.Load(), float64(chunks.Load())/length.Seconds())
	t.Logf("health: p50 %v, p90 %v, p99 %v, worst %v of %d", share(50), share(90), share(99), took[len(took)-1], len(took))
	t.Logf("memory: first fifth %v; last fifth %v", fifths[0], fifths[1])
	if grown := fifths[1].resident - fifths[0].resident; grown > 32e6 { // the prefix cache, and the heap on its way to its usual size
		t.Errorf("resident memory has grown by %.1f MB", grown/1e6)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		f := figures(t, url)
		if f["tti_texts_running"]+f["tti_requests_waiting"] == 0 && f["tti_kv_bytes"] <= f["tti_prefix_bytes"] {
			t.Logf("at the end: %.0f bytes of keys and values, of which the prefix cache counts %.0f, shared pages twice", f["tti_kv_bytes"], f["tti_prefix_bytes"])
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%.0f texts run, %.0f bytes of keys and values of which the prefix cache holds %.0f", f["tti_texts_running"], f["tti_kv_bytes"], f["tti_prefix_bytes"])
		}
	}
}

// footprint is the memory of a server over a time: resident the most that there was, of the heap the least, what is left after a
// collection.
type footprint struct{ resident, heap, goroutines float64 }

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MB resident, %.1f MB of heap, %.0f goroutines", f.resident/1e6, f.heap/1e6, f.goroutines)
}

// observe returns the footprints of the first fifth, but for its beginning, and of the last fifth of a time that begins now.
func observe(t *testing.T, ctx context.Context, url string, length time.Duration) (fifths [2]footprint) {
	start := time.Now()
	for ctx.Err() == nil {
		f := figures(t, url)
		for i, within := range []bool{time.Since(start) >= length/10 && time.Since(start) <= length/5, time.Since(start) >= length*4/5} {
			if !within {
				continue
			}
			p := &fifths[i]
			p.resident = max(p.resident, f["process_resident_memory_bytes"])
			p.goroutines = max(p.goroutines, f["go_goroutines"])
			if heap := f["go_memstats_heap_alloc_bytes"]; p.heap == 0 || heap < p.heap {
				p.heap = heap
			}
		}
		time.Sleep(min(length/30, time.Second))
	}
	return fifths
}
