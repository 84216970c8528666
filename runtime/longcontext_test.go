package runtime_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
)

// stretched returns a file of a family's model whose configuration has other fields.
func stretched(t *testing.T, family string, o convert.Options, fields map[string]any) string {
	t.Helper()
	source, directory := filepath.Join("..", "testdata", "families", family), t.TempDir()
	if err := os.CopyFS(directory, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(source, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		config[name] = value
	}
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "config.json")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "stretched.tti")
	o.NoSync = true
	if err := convert.Convert(t.Context(), directory, target, o); err != nil {
		t.Fatal(err)
	}
	return target
}

// longest is the context of Llama 3.2.
const longest = 131072

// TestLongContextTakesLittle opens a model of many positions: neither that nor its first tokens take memory for all of them.
func TestLongContextTakesLittle(t *testing.T) {
	path := stretched(t, "llama", convert.Options{Mode: convert.Int8}, map[string]any{"max_position_embeddings": longest})
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	m := open(t, path, runtime.WithThreads(runtime.NewThreads(2)))
	s := session(t, m)
	if _, err := s.Append([]int32{1}); err != nil {
		t.Fatal(err)
	}
	goruntime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20 || m.Shape().Context != longest {
		t.Errorf("%d bytes allocated for one token of %d", allocated, m.Shape().Context)
	}
}

// TestFarPositions runs a model whose layers all have windows up to its last position. What a token sees through them is as
// far away as it would be near the beginning, and so are the logits nearly the same: angles of 131,000 radians have an error
// of 0.004.
func TestFarPositions(t *testing.T) {
	m := open(t, stretched(t, "mistral", convert.Options{Mode: convert.F32}, map[string]any{"max_position_embeddings": longest}))
	random := rand.New(rand.NewPCG(3, 4))
	ids := make([]int32, longest)
	for i := range ids {
		ids[i] = random.Int32N(512)
	}
	last := func(ids []int32) []float32 {
		s := session(t, m)
		defer s.Close()
		logits, err := s.Append(ids)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(logits)
	}
	far, near, worst := last(ids), last(ids[longest-200:]), 0.0
	for i := range far {
		worst = max(worst, math.Abs(float64(far[i]-near[i])))
	}
	if t.Logf("worst difference %.2g", worst); !(worst < 0.1) {
		t.Errorf("logits at the end of the context differ by %v from those near its beginning", worst)
	}
}
