package serve

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/bench/statistics"
	"github.com/tti-llm/tti/spec/engine"
)

// Sixteen texts of 128 tokens after a prompt of 64.
const benchTexts, benchTokens = 16, 128

// BenchmarkHTTP writes texts by the engine alone and streams the same over HTTP, in turns, so that whatever else the machine does
// meets both alike. The median of the ratios is what the server adds, its clients on the same machine with it. TTI_MODEL names
// a file; without it, it is the small model of testdata, beside whose steps everything looks large.
func BenchmarkHTTP(b *testing.B) {
	source := Source{Name: "bench", Path: modelPath("llama")}
	if path := os.Getenv("TTI_MODEL"); path != "" {
		source.Path = path
	}
	threads := runtime.NewThreads(0)
	defer threads.Close()
	defer engine.SpareProcessor(threads)()
	c := serve(b, Options{Threads: threads}, source)
	m, _, release, err := c.server.models.acquire(source.Name)
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	var prompt []int32
	for i := range 64 {
		prompt = append(prompt, int32(100+i))
	}
	alone := func(seed int) {
		stream, err := m.engine.Submit(context.Background(), engine.Request{
			Prompt: prompt, Sampling: runtime.Sampling{Temperature: 1, Seed: uint64(seed)}, Limits: []runtime.GenerateOption{runtime.MaxTokens(benchTokens), runtime.IgnoreEOS()},
		})
		if err != nil {
			b.Error(err)
			return
		}
		for range stream.Tokens() {
		}
	}
	served := func(seed int) {
		r := c.send("POST", completionPath, fmt.Sprintf(`{"model":"bench","prompt":%s,"stream":true,"seed":%d,"max_tokens":%d,"ignore_eos":true}`, encodeJSON(prompt), seed, benchTokens))
		defer r.Body.Close()
		io.Copy(io.Discard, r.Body)
	}
	together(served) // until the engine knows how long steps take
	var engines, servers, ratios []float64
	for round := 0; b.Loop(); round++ {
		var e, s float64
		if round%2 == 0 {
			e, s = together(alone), together(served)
		} else {
			s, e = together(served), together(alone)
		}
		engines, servers, ratios = append(engines, e), append(servers, s), append(ratios, s/e)
	}
	const tokens = benchTexts * benchTokens
	b.ReportMetric(tokens/statistics.Median(engines), "engine-tok/s")
	b.ReportMetric(tokens/statistics.Median(servers), "http-tok/s")
	b.ReportMetric(statistics.Median(ratios), "http/engine")
	b.ReportMetric(0, "ns/op")
}

// together returns how many seconds it takes to write all texts at once.
func together(text func(seed int)) float64 {
	var texts sync.WaitGroup
	start := time.Now()
	for seed := range benchTexts {
		texts.Go(func() { text(seed) })
	}
	texts.Wait()
	return time.Since(start).Seconds()
}
