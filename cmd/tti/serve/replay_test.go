package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// randomRequest returns a path and a request with settings drawn by chance, of kinds that a client might send.
func randomRequest(random *rand.Rand) (path, body string) {
	words := strings.Fields("Once upon a time the old king said to his daughter that a fox had come by night")
	text := func() string {
		begin := random.IntN(len(words))
		return strings.Join(words[begin:begin+1+random.IntN(len(words)-begin)], " ")
	}
	fields := map[string]any{"stream": random.IntN(2) == 0, "max_tokens": 1 + random.IntN(40), "n": 1 + random.IntN(2)*random.IntN(3)}
	for name, draw := range map[string]func() any{
		"temperature":       func() any { return float64(random.IntN(20)) / 10 },
		"seed":              func() any { return random.IntN(1000) },
		"top_p":             func() any { return 0.5 + random.Float64()/2 },
		"top_k":             func() any { return random.IntN(50) },
		"frequency_penalty": func() any { return random.Float64() },
		"stop":              func() any { return []string{".", " and"} },
		"min_tokens":        func() any { return random.IntN(20) },
		"logit_bias":        func() any { return map[string]float64{fmt.Sprint(random.IntN(2000)): 5} },
	} {
		if random.IntN(3) == 0 {
			fields[name] = draw()
		}
	}
	if random.IntN(2) == 0 {
		fields["model"], path = "llama", chatPath
		fields["messages"] = []map[string]string{{"role": "user", "content": text()}}
		if random.IntN(3) == 0 {
			fields["logprobs"], fields["top_logprobs"] = true, random.IntN(4)
		}
	} else {
		fields["model"], path = []string{"llama", "draft"}[random.IntN(2)], completionPath
		fields["prompt"] = []string{text(), text()}[:1+random.IntN(2)]
		fields["echo"] = random.IntN(3) == 0
		if random.IntN(3) == 0 {
			fields["logprobs"] = random.IntN(4)
		}
	}
	return path, string(encodeJSON(fields))
}

// TestReplay logs random requests, many at once while other clients go away in the middle of their answers, and computes them
// again with other numbers of threads, one of them after all models were closed in between: every byte is the same.
func TestReplay(t *testing.T) {
	requests := 60
	if !testing.Short() {
		requests = 200
	}
	path := filepath.Join(t.TempDir(), "log")
	recorder, err := NewRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, Options{Record: recorder, Threads: runtime.NewThreads(2), Engine: engine.Options{Queue: 1000}})
	var clients sync.WaitGroup
	room := make(chan struct{}, 32)
	for i := range requests {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		path, body := randomRequest(random)
		room <- struct{}{}
		clients.Go(func() {
			defer func() { <-room }()
			if i%4 == 0 {
				leaves(c, random)
			}
			r := c.send("POST", path, body)
			defer r.Body.Close()
			if answer, err := io.ReadAll(r.Body); err != nil || r.StatusCode != 200 {
				t.Errorf("%s: %v, status %d %s", body, err, r.StatusCode, answer)
			}
		})
	}
	clients.Wait()
	waitIdle(t, c.server)
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 3} {
		again := serve(t, Options{Threads: runtime.NewThreads(threads), Engine: engine.Options{Texts: 1 + 9*threads, Queue: 1000}})
		got, err := again.server.Replay(context.Background(), bytes.NewReader(log), func(r Record, difference string) { t.Errorf("%s %s: %s", r.ID, r.Request, difference) })
		if err != nil || got.Same != requests || got.Different != 0 || got.Skipped == 0 {
			t.Errorf("%d threads: %+v, %v", threads, got, err)
		}
	}
}

// leaves asks for a long text and goes away at its beginning.
func leaves(c client, random *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	body := fmt.Sprintf(`{"model":"llama","prompt":"The","max_tokens":400,"ignore_eos":true,"stream":%v}`, random.IntN(2) == 0)
	q, err := http.NewRequestWithContext(ctx, "POST", c.url+completionPath, strings.NewReader(body))
	if err != nil {
		c.Error(err)
		return
	}
	q.Header.Set("Content-Type", "application/json")
	if strings.Contains(body, "true}") {
		if r, err := http.DefaultClient.Do(q); err == nil {
			io.ReadFull(r.Body, make([]byte, 500))
			cancel()
			r.Body.Close()
		}
		return
	}
	go func() {
		for !running(c.server) && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if r, err := http.DefaultClient.Do(q); err == nil {
		r.Body.Close()
	}
}

// TestReplayNotices changes a log: what is another answer, or another model's, is told.
func TestReplayNotices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	recorder, err := NewRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, Options{Record: recorder})
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The king","temperature":0,"max_tokens":8}`)
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	only, err := New([]Source{{Path: modelPath("draft")}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer only.Close()
	for name, k := range map[string]struct {
		server   *Server
		old, new string
		want     string
	}{
		"text":        {c.server, `"text":"`, `"text":"x`, "choices were"},
		"request":     {c.server, `The king`, `A king`, "choices were"},
		"tokens":      {c.server, `"completion_tokens":8`, `"completion_tokens":7`, "usage was"},
		"fingerprint": {c.server, `tti_`, `tti_0`, "was computed by"},
		"file":        {only, ``, ``, "was computed by"},
		"model":       {c.server, `"model":"llama"`, `"model":"none"`, "does not exist"},
		"endpoint":    {c.server, `"/v1/completions"`, `"/v2"`, "no endpoint"},
	} {
		var told string
		got, err := k.server.Replay(context.Background(), strings.NewReader(strings.Replace(string(log), k.old, k.new, 1)), func(_ Record, difference string) { told = difference })
		if err != nil || got.Different != 1 || !strings.Contains(told, k.want) {
			t.Errorf("%s: %+v, %v, told %q", name, got, err, told)
		}
	}
	if _, err := c.server.Replay(context.Background(), strings.NewReader("{\n"), nil); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("no JSON: %v", err)
	}
}
