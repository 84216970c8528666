package runtime_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/kernels"
)

var writeVersion1 = flag.Bool("write-version1", false, "write missing files of testdata/version1; never changes one that is there")

// frozen is a file that never changes any more.
type frozen struct {
	options convert.Options
	logits  uint64
}

// version1 lists the committed files of container version 1, one for every encoding, and the hash
// of their logits for a fixed prompt. Every later version must open them and give the same hash; the
// files and numbers here never change. They were made by `go test ./runtime -run Version1
// -write-version1` from a random model of 268 tokens.
var version1 = []frozen{
	{convert.Options{Mode: convert.F32}, 0x0011666956a2d3f6},
	{convert.Options{Mode: convert.F16}, 0x1b9306fbdd269038},
	{convert.Options{Mode: convert.Int8}, 0xc0d166689beaf70d},
	{convert.Options{Mode: convert.Int4}, 0x0971a0613df9dfc7},
	{convert.Options{Mode: convert.Int4, Int4: convert.Blocks}, 0xa27dc73d3e73fdf0},
	{convert.Options{Mode: convert.Int4, Int4: convert.All}, 0x43ac4f9466d8ed95},
}

// version11 lists the same for version 1.1, of a random decoder that has about everything that one can have.
var version11 = []frozen{
	{convert.Options{Mode: convert.F32}, 0x85e7f73a9f8bf3f},
	{convert.Options{Mode: convert.F16}, 0x19ff50ea03c0893b},
	{convert.Options{Mode: convert.Int8}, 0x91fc32ddf4d4016a},
	{convert.Options{Mode: convert.Int4}, 0x5c467ffda34f84cd},
	{convert.Options{Mode: convert.Int4, Int4: convert.Blocks}, 0x9cc3c835987a8f8a},
	{convert.Options{Mode: convert.Int4, Int4: convert.All}, 0x74b0367062fcfaa},
}

func TestVersion1FilesGiveTheSameLogits(t *testing.T) {
	prompt := []int32{3, 141, 59, 265, 35, 89, 79, 32, 38, 46, 26, 43, 38, 32, 79, 50, 28, 84, 197}
	tiny := synthetic.Model{Vocabulary: 268, Context: 24, Embedding: 36, Layers: 2, Heads: 3, Hidden: 100, Seed: 1}
	testFrozen(t, "version1", "tiny", tiny, version1, prompt)
	testFrozen(t, "version1.1", "decoder", smallDecoder, version11, []int32{3, 141, 59, 256, 35, 89, 79, 32})
}

func testFrozen(t *testing.T, folder, name string, model synthetic.Shape, files []frozen, prompt []int32) {
	for _, c := range files {
		name := fmt.Sprintf("%s-%s%s.tti", name, c.options.Mode, c.options.Int4)
		path := filepath.Join("..", "testdata", folder, name)
		if *writeVersion1 {
			writeFrozen(t, path, model, c.options)
		}
		for _, set := range kernels.Sets() {
			for _, threads := range []int{1, 3} {
				m := open(t, path, runtime.WithKernels(set.Name()), runtime.WithThreads(runtime.NewThreads(threads)))
				all, err := session(t, m).AppendAll(prompt)
				if err != nil {
					t.Fatal(err)
				}
				if got := hashOfLogits(all); got != c.logits {
					t.Errorf("%s on %s, %d threads: hash of logits %#x, want %#x", name, set.Name(), threads, got, c.logits)
				}
				m.Close()
			}
		}
	}
}

func hashOfLogits(rows [][]float32) uint64 {
	digest := xxhash.New()
	for _, logits := range rows {
		for _, v := range logits {
			digest.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
		}
	}
	return digest.Sum64()
}

// writeFrozen converts a random model.
func writeFrozen(t *testing.T, path string, model synthetic.Shape, o convert.Options) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	source := t.TempDir()
	if err := synthetic.Write(context.Background(), source, model); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := convert.Convert(context.Background(), source, path, o); err != nil {
		t.Fatal(err)
	}
}
