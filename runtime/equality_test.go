package runtime_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/kernels"
)

// tale is a prompt of some length for tests that need no meaning.
func tale(n int) []int32 {
	random := rand.New(rand.NewPCG(7, 7))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = random.Int32N(2000)
	}
	return ids
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: logit %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestSameBitsHoweverTokensAreGrouped runs one sequence in one piece, one by one and in chunks, on
// 1 to 5 threads, on every path of this machine, with every kind of cache: all logits must be the
// same bits.
func TestSameBitsHoweverTokensAreGrouped(t *testing.T) {
	ids := tale(150) // more than two chunks of a pass
	modes := modes
	if testing.Short() {
		modes = modes[2:4]
	}
	for _, mode := range modes {
		path := modelFile(t, "fable-draft", mode)
		for _, cache := range []runtime.KV{runtime.F32, runtime.F16, runtime.Int8} {
			t.Run(fmt.Sprint(mode.Mode, mode.Int4, " ", cache), func(t *testing.T) {
				var want [][]float32
				for _, set := range kernels.Sets() {
					groupings := map[int][]int{1: {len(ids), 1, 3, 64}, 2: {len(ids), 1, 7}, 5: {7, 64}}
					if set.Name() == "go" { // slow: one grouping on one number of threads tells enough
						groupings = map[int][]int{3: {50}}
					}
					for threads, sizes := range groupings {
						m := open(t, path, runtime.WithThreads(runtime.NewThreads(threads)), runtime.WithKV(cache), runtime.WithKernels(set.Name()), runtime.WithoutVerify())
						for _, size := range sizes {
							got := appendInPieces(t, m, ids, size)
							if want == nil {
								want = got
							}
							for i := range want {
								sameBits(t, fmt.Sprintf("%s, %d threads, pieces of %d, position %d", set.Name(), threads, size, i), got[i], want[i])
							}
						}
						m.Close()
					}
				}
			})
		}
	}
}

// appendInPieces returns the logits of every token.
func appendInPieces(t *testing.T, m *runtime.Model, ids []int32, size int) (logits [][]float32) {
	t.Helper()
	s := session(t, m)
	for piece := range slices.Chunk(ids, size) {
		all, err := s.AppendAll(piece)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range all {
			logits = append(logits, slices.Clone(row))
		}
	}
	return logits
}

func TestAppendEqualsAppendAll(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", convert.Options{Mode: convert.Int8}))
	ids := tale(100)
	one, all := session(t, m), session(t, m)
	last, err := one.Append(ids)
	if err != nil {
		t.Fatal(err)
	}
	every, err := all.AppendAll(ids)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "last logits", last, every[99])
}

// TestTruncateForgets runs other tokens over positions that were used before.
func TestTruncateForgets(t *testing.T) {
	m := open(t, modelFile(t, "fable-draft", convert.Options{Mode: convert.Int4}))
	ids := tale(90)
	fresh, used := session(t, m), session(t, m)
	want, err := fresh.Append(ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, keep := range []int{70, 33, 0} {
		if _, err := used.Append(tale(200)[used.Len():]); err != nil {
			t.Fatal(err)
		}
		used.Truncate(0)
		if _, err := used.Append(append(slices.Clone(ids[:keep]), tale(200-keep)...)); err != nil {
			t.Fatal(err)
		}
		used.Truncate(keep)
		got, err := used.Append(ids[keep:])
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, fmt.Sprintf("after truncation to %d", keep), got, want)
	}
}
