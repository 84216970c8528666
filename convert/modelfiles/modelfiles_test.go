package modelfiles

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestParseIndex(t *testing.T) {
	weightMap, files, err := ParseIndex([]byte(`{"metadata":{"total_size":8},"weight_map":{"a":"2.safetensors","b":"1.safetensors","c":"2.safetensors"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}; !maps.Equal(weightMap, want) {
		t.Errorf("%v, want %v", weightMap, want)
	}
	if want := []string{"1.safetensors", "2.safetensors"}; !slices.Equal(files, want) {
		t.Errorf("%v, want %v", files, want)
	}
	if MaxSize(Index) <= MaxSize(Configuration) || MaxSize(Weights) < 1<<50 || MaxSize("model-00001-of-00002.safetensors") < 1<<50 {
		t.Error("the sizes are mixed up")
	}
}

// TestHostileIndexTakesLittle has the indexes that are the dearest to read, as long as they may be. What is allocated for
// them, garbage included, is bounded.
func TestHostileIndexTakesLittle(t *testing.T) {
	filled := func(entry string) string {
		var text strings.Builder
		for i := 0; text.Len() < int(MaxSize(Index))-100; i++ {
			fmt.Fprintf(&text, entry, i)
		}
		return strings.TrimSuffix(text.String(), ",")
	}
	for name, c := range map[string]struct{ text, want string }{
		"tensors": {`{"weight_map":{` + filled(`"%x":"a",`) + `}}`, "more than 200000 entries"},
		"unknown": {`{"metadata":[` + filled(`%d,`) + `]}`, "more than 200000 entries"},
		"files":   {`{"weight_map":{"a":"` + filled("%x") + `"}}`, ""},
		"shards":  {`{"weight_map":{` + filled(`"%[1]x`+strings.Repeat("x", 100)+`":"%[1]x",`) + `}}`, "weights in"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := ParseIndex([]byte(c.text))
		runtime.ReadMemStats(&after)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 256<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, allocated, len(c.text))
		} else {
			t.Logf("%s: %d MiB", name, allocated>>20)
		}
	}
}
