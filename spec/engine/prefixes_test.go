package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/generation"
)

// TestPrefixesFindTheLongest keeps texts of few different tokens, which have much in common, and compares what is found with
// a list of all: nothing longer is known, nothing of another key is found, and what is found are the tokens asked for.
func TestPrefixesFindTheLongest(t *testing.T) {
	m := open(t, "fable-draft", int4)
	random := rand.New(rand.NewPCG(9, 9))
	p := newPrefixes(m, 1<<40)
	kept := map[string][][]int32{}
	text := func() []int32 {
		ids := make([]int32, 1+random.IntN(90))
		for i := range ids {
			ids[i] = int32(random.IntN(8) / 7)
		}
		return ids
	}
	for range 600 {
		key := []string{"a", "b"}[random.IntN(2)]
		ids := text()
		longest := 0
		for _, other := range kept[key] {
			longest = max(longest, generation.CommonPrefix(ids, other))
		}
		s := p.start(key, ids)
		if longest == 0 {
			if s != nil {
				t.Fatalf("found %v of %v, nothing of it is kept", s.Tokens(), ids)
			}
			s = m.NewSession()
		}
		if !slices.Equal(s.Tokens(), ids[:longest]) {
			t.Fatalf("found %v of %v, want %d tokens", s.Tokens(), ids, longest)
		}
		p.count(len(ids), longest)
		if rest := ids[longest:]; len(rest) > 0 {
			if _, err := s.Append(rest); err != nil {
				t.Fatal(err)
			}
		}
		p.keep(key, s)
		s.Close()
		kept[key] = append(kept[key], ids)
		checkTrees(t, &p)
	}
	if p.Hits == 0 || p.Hits == p.Lookups || p.Found >= p.Tokens || p.Nodes < 100 {
		t.Errorf("statistics %+v", p.PrefixStatistics)
	}
	p.clear()
	if p.Nodes != 0 || p.Bytes != 0 || m.KVTaken() != 0 || len(p.trees) != 0 {
		t.Errorf("cleared: %d bytes of pages stay taken, statistics %+v", m.KVTaken(), p.PrefixStatistics)
	}
}

// checkTrees checks what holds of radix trees, and the counts.
func checkTrees(t *testing.T, p *prefixes) {
	t.Helper()
	nodes, bytes := 0, int64(0)
	var walk func(n *prefix)
	walk = func(n *prefix) {
		for first, child := range n.children {
			if child.parent != n || child.tokens[0] != first || child.used > n.used && n.parent != nil ||
				!slices.Equal(child.session.Tokens()[n.depth():], child.tokens) || !slices.Equal(child.session.Tokens()[:n.depth()], append([]int32{}, tokensOf(n)...)) {
				t.Fatalf("node %+v below %+v", child, n)
			}
			nodes++
			bytes += p.bytes(child)
			walk(child)
		}
	}
	for _, root := range p.trees {
		walk(root)
	}
	if nodes != p.Nodes || bytes != p.Bytes {
		t.Fatalf("%d nodes of %d bytes, counted %+v", nodes, bytes, p.PrefixStatistics)
	}
}

func tokensOf(n *prefix) []int32 {
	if n.session == nil {
		return nil
	}
	return n.session.Tokens()
}

// TestPrefixesGoByUse lets the least recently used one go first, and bounds what is kept.
func TestPrefixesGoByUse(t *testing.T) {
	m := open(t, "fable-draft", int4)
	p := newPrefixes(m, 3*m.KVBytes(m.KVPage()))
	found := func(first int32) int {
		s := p.start("", []int32{first, 2, 3, 4, 5, 6})
		if s == nil {
			return 0
		}
		defer s.Close()
		return s.Len()
	}
	for first := range int32(4) {
		s := m.NewSession()
		if _, err := s.Append([]int32{first, 2, 3, 4, 5, 6}); err != nil {
			t.Fatal(err)
		}
		p.keep("", s)
		s.Close()
		if first == 2 && found(0) != 6 { // which is used again, so that number 1 is the oldest
			t.Error("the first is gone")
		}
	}
	for first, want := range []int{6, 0, 6, 6} {
		if got := found(int32(first)); got != want {
			t.Errorf("number %d: %d tokens are found, want %d", first, got, want)
		}
	}
	p.clear()
	if m.KVTaken() != 0 {
		t.Errorf("%d bytes stay taken", m.KVTaken())
	}
}

// TestPromptsAreCached hands in the same prompt again, longer and in parts, and for another key.
func TestPromptsAreCached(t *testing.T) {
	m := open(t, "fable", int8)
	text := story(t, m)
	on, off := start(t, m, Options{}), start(t, m, Options{Prefixes: -1})
	for _, c := range []struct {
		name   string
		prompt []int32
		key    string
		cached int
	}{
		{name: "first", prompt: text[:150], cached: 0},
		{name: "again", prompt: text[:150], cached: 149},
		{name: "longer", prompt: text[:170], cached: 150},
		{name: "a part", prompt: text[:71], cached: 70},
		{name: "another end", prompt: append(slices.Clone(text[:60]), text[300:320]...), cached: 60},
		{name: "another key", prompt: text[:150], key: "b", cached: 0},
		{name: "another key again", prompt: text[:150], key: "b", cached: 149},
	} {
		r := Request{Prompt: c.prompt, Key: c.key, Choices: 2, Sampling: runtime.Sampling{Temperature: 1, Seed: 7}, Limits: []runtime.GenerateOption{runtime.MaxTokens(5)}}
		want := alone(t, m, r)
		for _, e := range []*Engine{on, off} {
			cached := c.cached
			if e == off {
				cached = 0
			}
			stream := submit(t, e, r)
			for i, got := range collect(stream, r) {
				if outcome := stream.Outcomes()[i]; !got.equal(want[i]) || outcome.Cached != cached {
					t.Errorf("%s: %d tokens were cached, want %d; %v, want %v", c.name, outcome.Cached, cached, got, want[i])
				}
			}
		}
	}
	if s := on.Statistics().Prefixes; s.Lookups != 7 || s.Hits != 5 || s.Found != 149+150+70+60+149 {
		t.Errorf("statistics %+v", s)
	}
	if s := off.Statistics().Prefixes; s != (PrefixStatistics{}) {
		t.Errorf("statistics without a cache %+v", s)
	}
}

// TestAnswersAreCached goes on with a conversation: prompt and answer of the turn before are known but for the last token.
func TestAnswersAreCached(t *testing.T) {
	m := open(t, "fable-draft", int4)
	e := start(t, m, Options{})
	prompt := story(t, m)[:20]
	for turn := range 4 {
		r := Request{Prompt: prompt, Limits: []runtime.GenerateOption{runtime.MaxTokens(10), runtime.IgnoreEOS()}}
		stream := submit(t, e, r)
		got := collect(stream, r)[0]
		known := 0
		if turn > 0 {
			known = len(prompt) - 1 - 3
		}
		if cached := stream.Outcomes()[0].Cached; cached != known || got.err != nil {
			t.Errorf("turn %d: %d of %d tokens were cached, want %d (%v)", turn, cached, len(prompt), known, got.err)
		}
		prompt = slices.Clone(prompt)
		for _, token := range got.tokens {
			prompt = append(prompt, token.ID)
		}
		prompt = append(prompt, 4, 5, 6)
	}
}

// TestCountOfPrefixes: a beginning of one token is one, too.
func TestCountOfPrefixes(t *testing.T) {
	var p prefixes
	for tokens, known := range map[int]int{10: 0, 20: 1, 30: 29} {
		p.count(tokens, known)
	}
	if p.Lookups != 3 || p.Hits != 2 || p.Tokens != 60 || p.Found != 30 {
		t.Errorf("%d of %d texts, %d of %d tokens", p.Hits, p.Lookups, p.Found, p.Tokens)
	}
}
