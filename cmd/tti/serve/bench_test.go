package serve

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// Sixteen texts of 128 tokens after a prompt of 64, by the engine alone and streamed over HTTP: the difference is what the
// server adds, its clients on the same machine with it. TTI_MODEL names a file; without it, it is the small model of testdata,
// beside whose steps everything looks large.
const benchTexts, benchTokens = 16, 128

func benchServer(b *testing.B) (c client, name string, prompt []int32) {
	source := Source{Name: "bench", Path: modelPath("llama")}
	if path := os.Getenv("TTI_MODEL"); path != "" {
		source.Path = path
	}
	c = serve(b, Options{}, source)
	for i := range 64 {
		prompt = append(prompt, int32(100+i))
	}
	_, _, release, err := c.server.models.acquire(source.Name)
	if err != nil {
		b.Fatal(err)
	}
	release()
	return c, source.Name, prompt
}

func benchTogether(b *testing.B, text func(seed int)) {
	for b.Loop() {
		var texts sync.WaitGroup
		for seed := range benchTexts {
			texts.Go(func() { text(seed) })
		}
		texts.Wait()
	}
	b.ReportMetric(float64(b.N*benchTexts*benchTokens)/b.Elapsed().Seconds(), "tok/s")
}

func BenchmarkEngine(b *testing.B) {
	c, name, prompt := benchServer(b)
	m, _, release, err := c.server.models.acquire(name)
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	benchTogether(b, func(seed int) {
		stream, err := m.engine.Submit(context.Background(), engine.Request{
			Prompt: prompt, Sampling: runtime.Sampling{Temperature: 1, Seed: uint64(seed)}, Limits: []runtime.GenerateOption{runtime.MaxTokens(benchTokens), runtime.IgnoreEOS()},
		})
		if err != nil {
			b.Error(err)
			return
		}
		for range stream.Tokens() {
		}
	})
}

func BenchmarkHTTP(b *testing.B) {
	c, name, prompt := benchServer(b)
	benchTogether(b, func(seed int) {
		r := c.send("POST", completionPath, fmt.Sprintf(`{"model":%q,"prompt":%s,"stream":true,"seed":%d,"max_tokens":%d,"ignore_eos":true}`, name, encodeJSON(prompt), seed, benchTokens))
		defer r.Body.Close()
		io.Copy(io.Discard, r.Body)
	})
}
