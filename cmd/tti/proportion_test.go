package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/tti-llm/tti/format"
)

// TestHostileSizesTakeLittle has a file that says it is a model of 400,000 layers, or huge in another way: no command
// allocates, garbage included, more than for the file as it was, but for the little that an error takes.
func TestHostileSizesTakeLittle(t *testing.T) {
	text := filepath.Join("..", "..", "testdata", "golden", "README.md")
	commands := [][]string{
		{"inspect"}, {"inspect", "--tensors"}, {"inspect", "--json"}, {"inspect", "--errors", draftSource}, {"verify"},
		{"run", "--prompt", "The wolf", "-n", "4"}, {"run", "--prompt", "The wolf", "-n", "4", "--kv", "f32"},
		{"tokenize", "--decode", "5 6"}, {"eval", "--text", text}, {"bench", "--repeats", "1", "-n", "4"},
		{"pack", "-o", "OUT"}, {"export", "-o", "OUT"},
	}
	// once returns the bytes that a command allocates.
	once := func(command []string, file string) uint64 {
		args := append(append([]string{command[0]}, command[1:]...), file)
		for i, word := range args {
			if word == "OUT" {
				args[i] = filepath.Join(t.TempDir(), "out")
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tti(t, "", args...)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	usual := map[string]uint64{}
	for _, command := range commands {
		once(command, draftInt8) // what only the first time allocates
		usual[fmt.Sprint(command)] = once(command, draftInt8)
	}
	for _, c := range []struct {
		name string
		size int
	}{
		{"n_layer", 400_000}, {"n_layer", 1<<31 - 1}, {"n_ctx", 1<<31 - 1}, {"n_embd", 1<<31 - 2}, {"n_inner", 1<<31 - 1}, {"vocab_size", 1<<31 - 1},
	} {
		path := withMeta(t, func(meta *format.Meta) {
			entry := regexp.MustCompile(`"` + c.name + `":\d+`)
			if !entry.Match(meta.Hyperparameters) {
				t.Fatalf("there is no %s", c.name)
			}
			meta.Hyperparameters = entry.ReplaceAll(meta.Hyperparameters, fmt.Appendf(nil, `"%s":%d`, c.name, c.size))
		})
		for _, command := range commands {
			if allocated, most := once(command, path), usual[fmt.Sprint(command)]+1<<20; allocated > most {
				t.Errorf("%s is %d: %q allocates %d bytes, want at most %d", c.name, c.size, command, allocated, most)
			}
		}
	}
}
