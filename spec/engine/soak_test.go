package engine

import (
	"math/rand/v2"
	"os"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/tti-llm/tti/runtime"
)

// soakEnvironment is the variable that says how long TestSoak goes on, such as 1h.
const soakEnvironment = "TTI_SERVE_SOAK"

// TestSoak runs waves of requests of all kinds: memory, pages and goroutines are the same after the last as after the first
// few.
func TestSoak(t *testing.T) {
	waves, end := 24, time.Time{}
	if testing.Short() {
		waves = 9
	}
	if text := os.Getenv(soakEnvironment); text != "" {
		duration, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", soakEnvironment, err)
		}
		end = time.Now().Add(duration)
	}
	m := open(t, "fable-draft", int4)
	const kept = 4 << 20
	before := goruntime.NumGoroutine()
	e := start(t, m, Options{Texts: 8, Prefixes: kept, NGram: true, Draft: open(t, "fable-draft", int4All)})
	random := rand.New(rand.NewPCG(12, 12))
	list := requests(t, m, random, 60)
	first := uint64(0)
	for wave := 0; wave < waves || time.Now().Before(end); wave++ {
		var streams []*Stream
		var wanted []Request
		for range 12 {
			r := list[random.IntN(len(list))]
			r.Sampling.Seed = random.Uint64()
			streams, wanted = append(streams, submit(t, e, r)), append(wanted, r)
		}
		for i, s := range streams {
			if i%4 == 0 {
				s.Close()
			}
			for _, got := range collect(s, wanted[i]) {
				if got.err != nil && i%4 != 0 {
					t.Fatal(got.err)
				}
			}
		}
		if s := e.Statistics(); s.Running != 0 || s.Waiting != 0 || s.Prefixes.Bytes > kept {
			t.Fatalf("wave %d: statistics %+v", wave, s)
		}
		if taken := m.KVTaken(); taken > kept+m.KVBytes(m.Shape().Context) {
			t.Fatalf("wave %d: %d bytes of pages are taken", wave, taken)
		}
		goruntime.GC()
		var memory goruntime.MemStats
		goruntime.ReadMemStats(&memory)
		switch wave {
		case 7:
			first = memory.HeapAlloc
		case waves - 1:
			t.Logf("%d bytes of heap after 8 waves, %d after %d", first, memory.HeapAlloc, waves)
		}
		if wave > 7 && memory.HeapAlloc > first+first/4+kept {
			t.Fatalf("wave %d: %d bytes of heap, %d after 8 waves", wave, memory.HeapAlloc, first)
		}
	}
	e.Close()
	for range 100 { // a goroutine that has said its last word may not be gone yet
		if goruntime.NumGoroutine() <= before+1 { // a pool's timer
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if now := goruntime.NumGoroutine(); now > before+1 {
		t.Errorf("%d goroutines before, %d afterwards", before, now)
	}
}

// TestEveryStepServesAll lets long prompts come in while texts decode: each of these has a token in every step.
func TestEveryStepServesAll(t *testing.T) {
	m := open(t, "fable-draft", int4)
	served, beside := 0, 0
	previous := map[*text]int{} // tokens of texts that were to decode
	e := start(t, m, Options{interfere: func(e *Engine) {
		for text, tokens := range previous {
			if !text.done() && len(text.tokens) != tokens+1 {
				t.Errorf("a text of %d tokens has %d after a step", tokens, len(text.tokens))
			}
			served++
		}
		clear(previous)
		catching := false
		for _, text := range e.texts {
			if text.decodes() {
				previous[text] = len(text.tokens)
			} else {
				catching = true
			}
		}
		if catching {
			beside += len(previous)
		}
	}})
	var streams []*Stream
	for i := range 16 {
		streams = append(streams, submit(t, e, short("", 60)))
		if i >= 8 {
			r := short("", 10)
			r.Prompt = story(t, m)[100*i:][:400]
			streams = append(streams, submit(t, e, r))
		}
	}
	for _, s := range streams {
		if got := collect(s, Request{})[0]; got.err != nil {
			t.Error(got.err)
		}
	}
	if e.Close(); served < 1000 || beside < 100 {
		t.Errorf("%d tokens, %d beside prompts: too few to tell", served, beside)
	}
}

// TestCachedPromptsTakeAStep: where all of a prompt is known but its last token, the first token comes with the next step, also
// while others decode.
func TestCachedPromptsTakeAStep(t *testing.T) {
	m := open(t, "fable-draft", int4)
	e := start(t, m, Options{})
	prompt := story(t, m)[:480]
	limits := []runtime.GenerateOption{runtime.MaxTokens(1), runtime.IgnoreEOS()}
	steps := func() int {
		before := e.Statistics().Steps
		s := submit(t, e, Request{Prompt: prompt, Limits: limits})
		if got := collect(s, Request{})[0]; got.err != nil || len(got.tokens) != 1 {
			t.Fatalf("%v", got)
		}
		return e.Statistics().Steps - before
	}
	if first, again := steps(), steps(); first < 5 || again != 1 {
		t.Errorf("%d steps, then %d", first, again)
	}
}
