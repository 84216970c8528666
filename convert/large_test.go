package convert

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/synthetic"
)

// writeGPT2 writes a model of GPT-2's size, with GPT-2's own vocabulary.
func writeGPT2(t testing.TB) string {
	t.Helper()
	directory := t.TempDir()
	if err := synthetic.Write(context.Background(), directory, synthetic.Models["gpt2"]); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vocab.json", "merges.txt"} {
		content, err := os.ReadFile(filepath.Join("..", "testdata", "golden", "gpt2-vocab", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(directory, name), content, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// sourceOfMemoryTest tells a second process of this test what to convert.
const sourceOfMemoryTest = "TTI_TEST_CONVERT_SOURCE"

// 124 million parameters: files as small as promised, and memory as little, which a
// process of its own measures.
func TestConvertGPT2(t *testing.T) {
	if directory := os.Getenv(sourceOfMemoryTest); directory != "" {
		for _, mode := range modes {
			if mode.name == "f16" || mode.name == "int4-blocks" {
				continue // nothing is promised of them, and nothing in them takes more memory
			}
			target := filepath.Join(directory, mode.name+".tti")
			if err := Convert(t.Context(), directory, target, Options{Mode: mode.mode, Int4: mode.scope, NoSync: true}); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(target)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println("size", mode.name, info.Size())
			if err := os.Remove(target); err != nil {
				t.Fatal(err)
			}
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory) // Sys is all that was ever taken from the system; mappings of files are not in it
		fmt.Println("memory", memory.Sys)
		return
	}
	if testing.Short() {
		t.Skip("writes a model of 500 MB")
	}
	directory := writeGPT2(t)
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestConvertGPT2$")
	command.Env = append(os.Environ(), sourceOfMemoryTest+"="+directory)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	limits := map[string]int{"size int8": 129e6, "size int4": 102e6, "size int4-all": 71e6, "memory": 64 << 20}
	for line := range strings.Lines(string(output)) {
		for what, most := range limits {
			var bytes int
			if n, _ := fmt.Sscanf(line, what+" %d", &bytes); n == 1 {
				delete(limits, what)
				t.Logf("%s: %d bytes", what, bytes)
				if bytes > most {
					t.Errorf("%s: %d bytes, want at most %d", what, bytes, most)
				}
			}
		}
	}
	if len(limits) > 0 {
		t.Errorf("not measured: %v in %s", limits, output)
	}
}

func BenchmarkConvertGPT2(b *testing.B) {
	directory := writeGPT2(b)
	target := filepath.Join(directory, "gpt2.tti")
	info, err := os.Stat(filepath.Join(directory, weightsFile))
	if err != nil {
		b.Fatal(err)
	}
	for _, mode := range modes {
		b.Run(mode.name, func(b *testing.B) {
			b.SetBytes(info.Size())
			for b.Loop() {
				if err := Convert(b.Context(), directory, target, Options{Mode: mode.mode, Int4: mode.scope, NoSync: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
