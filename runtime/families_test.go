package runtime_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/runtime"
)

// families are the models of testdata/families.
var families = []string{
	"llama", "llama-scaled", "llama-linear", "mistral", "qwen2", "qwen3", "phi3", "phi3-longrope", "smollm3", "gemma2", "gemma3", "granite", "olmo2",
}

// familyContexts returns with which contexts to open a model, 0 for its own, and for how many tokens of a sequence each of
// them has the reference's logits. The references of LongRoPE take short factors for sequences up to the original context and
// long ones beyond, anew for all tokens.
func familyContexts(name string) map[int]func(tokens int) bool {
	if name == "phi3-longrope" {
		return map[int]func(int) bool{0: func(n int) bool { return n <= 64 }, 160: func(n int) bool { return n > 64 }}
	}
	return map[int]func(int) bool{0: func(int) bool { return true }}
}

func openFamily(t *testing.T, name string, mode convert.Options, options ...runtime.Option) *runtime.Model {
	t.Helper()
	return open(t, modelFile(t, filepath.Join("families", name), mode), options...)
}

// TestFamiliesMatchReferences holds every logit of the f32 files to 2e-3 and the continuations to those of the references but
// for ties.
func TestFamiliesMatchReferences(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			g := loadReference(t, "families", name)
			worst, compared := 0.0, 0
			for context, valid := range familyContexts(name) {
				m := openFamily(t, name, convert.Options{Mode: convert.F32}, runtime.WithContext(context))
				for _, c := range g.Cases {
					if !valid(len(c.IDs)) {
						continue
					}
					s := session(t, m)
					all, err := s.AppendAll(c.IDs)
					if err != nil {
						t.Fatal(err)
					}
					for i, logits := range all {
						want := g.logits[(c.LogitsRow+i)*g.VocabularySize:][:g.VocabularySize]
						for id, logit := range logits {
							worst = max(worst, math.Abs(float64(logit-want[id])))
							compared++
						}
					}
					compareGreedy(t, m, c, valid)
				}
			}
			if t.Logf("worst difference of %d logits %.2g", compared, worst); !(worst < 2e-3) || compared != len(g.logits) {
				t.Errorf("worst difference of %d logits %v, there are %d", compared, worst, len(g.logits))
			}
		})
	}
}

// compareGreedy compares a continuation as far as the model is that of the reference. A step whose two best logits lie
// closer than 4e-3 is a tie.
func compareGreedy(t *testing.T, m *runtime.Model, c goldenCase, valid func(tokens int) bool) {
	t.Helper()
	s, next := session(t, m), c.IDs
	for i, want := range c.GreedyIDs {
		if !valid(len(c.IDs) + i) {
			return
		}
		logits, err := s.Append(next)
		if err != nil {
			t.Fatal(err)
		}
		best := 0
		for id, logit := range logits {
			if logit > logits[best] {
				best = id
			}
		}
		if int32(best) != want && c.GreedyGap[i] >= 4e-3 {
			t.Fatalf("%v: step %d gives %d, want %d; gap %v", c.IDs, i, best, want, c.GreedyGap[i])
		}
		next = []int32{want}
	}
}

// TestFamiliesScoreAsReferences holds the negative log-likelihood of the f32 files to 0.01 %.
func TestFamiliesScoreAsReferences(t *testing.T) {
	for _, name := range families {
		g := loadReference(t, "families", name)
		for context, valid := range familyContexts(name) {
			if !valid(len(g.Eval.IDs)) {
				continue
			}
			m := openFamily(t, name, convert.Options{Mode: convert.F32}, runtime.WithContext(context))
			score, err := m.Evaluate(t.Context(), g.Eval.IDs, nil)
			if err != nil {
				t.Fatal(err)
			}
			if score.Scored != len(g.Eval.IDs)-1 || !(math.Abs(score.NLL/g.Eval.NLL-1) < 1e-4) {
				t.Errorf("%s: %v of %d tokens, want %v of %d", name, score.NLL, score.Scored, g.Eval.NLL, len(g.Eval.IDs)-1)
			}
		}
	}
}

// TestFamiliesKeepTheirBits runs every family in several encodings of weights and caches: mixtures of pieces of prompts, single
// tokens and verifications of several sequences, on all kernels, numbers of threads and sizes of pages. Every row of logits
// is what the sequence gives alone, in one piece, on one thread.
func TestFamiliesKeepTheirBits(t *testing.T) {
	for k, name := range families {
		for j := range 3 {
			mode, encoding := modes[(2*j+k)%len(modes)], []runtime.KV{runtime.F32, runtime.F16, runtime.Int8}[(j+k)%3]
			t.Run(fmt.Sprint(name, " ", mode.Mode, mode.Int4, " ", encoding), func(t *testing.T) {
				common := []runtime.Option{runtime.WithKV(encoding), runtime.WithContext(160), runtime.WithoutVerify()}
				random := rand.New(rand.NewPCG(71, uint64(3*k+j)))
				texts := alone(t, openFamily(t, name, mode, append(common, runtime.WithThreads(runtime.NewThreads(1)))...), random, 6)
				for _, set := range kernels.Sets() {
					for threads, page := range map[int]int{1: 16, 2: 64, 3: 32, 5: 16} {
						if set.Name() == "go" && threads != 3 { // slow
							continue
						}
						m := openFamily(t, name, mode, append(common, runtime.WithThreads(runtime.NewThreads(threads)),
							runtime.WithKernels(set.Name()), runtime.WithKVPages(page))...)
						runMixture(t, m, random, texts, fmt.Sprintf("%s, %d threads, pages of %d", set.Name(), threads, page))
						m.Close()
					}
				}
			})
		}
	}
}

// familyLogits are hashes of the logits of fixed tokens, of files in int4. They are the same on all architectures, and so are the
// frequencies of rotary embeddings, which the converter computes.
var familyLogits = map[string]uint64{
	"llama":         0x17e2d5b37be4313a,
	"llama-scaled":  0x23e9e71108a071fc,
	"llama-linear":  0x38cb8cf90ed2c9,
	"mistral":       0x3d1222527b2be05a,
	"qwen2":         0x19442521ea942b00,
	"qwen3":         0xabd6f2aecb8c5762,
	"phi3":          0x84e2d5088ce9ff9f,
	"phi3-longrope": 0x6b3aaf0bdb84c6f5,
	"smollm3":       0x7867f9e197685a0e,
	"gemma2":        0x34ac547e7192e27a,
	"gemma3":        0xb277a79f875bfc4b,
	"granite":       0xfe90af50141f67a1,
	"olmo2":         0xbaada3c0cfa7195e,
}

func TestFamiliesLogitsAreTheSameEverywhere(t *testing.T) {
	random := rand.New(rand.NewPCG(81, 82))
	ids := make([]int32, 40)
	for i := range ids {
		ids[i] = random.Int32N(512)
	}
	for _, name := range families {
		m := openFamily(t, name, convert.Options{Mode: convert.Int4})
		all, err := session(t, m).AppendAll(ids)
		if err != nil {
			t.Fatal(err)
		}
		if got := hashOfLogits(all); got != familyLogits[name] {
			t.Errorf("%s: hash of logits %#x, want %#x", name, got, familyLogits[name])
		}
	}
}

// TestFamiliesQuantized bounds what the encodings cost the models of families: the mean divergence of their predictions from
// those of float32. Random weights are the worst there are.
func TestFamiliesQuantized(t *testing.T) {
	for _, name := range families {
		ids := loadReference(t, "families", name).Eval.IDs
		reference := openFamily(t, name, convert.Options{Mode: convert.F32}, runtime.WithContext(160))
		for _, c := range []struct {
			mode convert.Options
			kv   runtime.KV
			most float64
		}{
			{convert.Options{Mode: convert.F16}, runtime.F32, 1e-3}, {convert.Options{Mode: convert.F32}, runtime.F16, 1e-4}, {convert.Options{Mode: convert.F32}, runtime.Int8, 0.05},
			{convert.Options{Mode: convert.Int8}, runtime.F16, 0.1}, {convert.Options{Mode: convert.Int4, Int4: convert.All}, runtime.F16, 4},
		} {
			comparison, err := runtime.Compare(t.Context(), reference, openFamily(t, name, c.mode, runtime.WithContext(160), runtime.WithKV(c.kv)), ids, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if t.Logf("%s %s%s, cache %v: divergence %.2g", name, c.mode.Mode, c.mode.Int4, c.kv, comparison.Divergence); !(comparison.Divergence < c.most) {
				t.Errorf("%s %s%s, cache %v: divergence %v, want at most %v", name, c.mode.Mode, c.mode.Int4, c.kv, comparison.Divergence, c.most)
			}
		}
	}
}

// TestFamiliesCalibrated calibrates models of all families for a text: on another text their predictions are nearer to the
// original's than those of plainly rounded ones.
func TestFamiliesCalibrated(t *testing.T) {
	calibration, err := os.ReadFile(filepath.Join("..", "testdata", "golden", "fable-calib.txt"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "testdata", "golden", "fable-eval.txt"))
	if err != nil {
		t.Fatal(err)
	}
	names := families
	if testing.Short() {
		names = []string{"llama-scaled", "gemma2", "granite", "olmo2"}
	}
	for _, name := range names {
		reference := openFamily(t, name, convert.Options{Mode: convert.F32}, runtime.WithContext(160))
		ids, err := reference.Tokenizer().Encode(string(text[:2000]))
		if err != nil {
			t.Fatal(err)
		}
		o := convert.Options{Mode: convert.Int4, Int4: convert.All}
		divergence := func(m *runtime.Model) float64 {
			comparison, err := runtime.Compare(t.Context(), reference, m, ids, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			return comparison.Divergence
		}
		plain := divergence(openFamily(t, name, o, runtime.WithContext(160)))
		o.NoSync, o.Calibrate = true, &convert.Calibration{Text: string(calibration[:12000])}
		path := filepath.Join(t.TempDir(), "calibrated.tti")
		if err := convert.Convert(t.Context(), filepath.Join("..", "testdata", "families", name), path, o); err != nil {
			t.Fatal(err)
		}
		calibrated := divergence(open(t, path, runtime.WithContext(160)))
		if t.Logf("%s: divergence %.3f, calibrated %.3f", name, plain, calibrated); !(calibrated < 0.8*plain) {
			t.Errorf("%s: divergence %v calibrated, %v plain", name, calibrated, plain)
		}
	}
}

// TestContext bounds sessions and windows of evaluation, and refuses more positions than the model has.
func TestContext(t *testing.T) {
	path := modelFile(t, filepath.Join("families", "llama"), convert.Options{Mode: convert.F32})
	for context, want := range map[int]int{0: 160, 1: 1, 50: 50, 160: 160} {
		m := open(t, path, runtime.WithContext(context))
		if got := m.Shape().Context; got != want {
			t.Errorf("context %d: sessions have %d positions, want %d", context, got, want)
		}
		s := session(t, m)
		if _, err := s.Append(make([]int32, want)); err != nil {
			t.Errorf("context %d: %v", context, err)
		}
		if _, err := s.Append(make([]int32, 1)); !errors.Is(err, runtime.ErrContextFull) {
			t.Errorf("context %d, a position too many: %v", context, err)
		}
		if context == 50 {
			if score, err := m.Evaluate(t.Context(), make([]int32, 150), nil); err != nil || score.Scored != 147 {
				t.Errorf("%d tokens scored, %v; want 147 of three windows", score.Scored, err)
			}
		}
	}
	for _, context := range []int{-1, 161} {
		if _, err := runtime.Open(path, runtime.WithContext(context)); !errors.Is(err, runtime.ErrOption) {
			t.Errorf("context %d: %v", context, err)
		}
	}
}

// TestLongRoPEIsChosenOnce: the same tokens have other logits where the model was opened for a long context, from the second
// one on, and the same where it was opened for any short one.
func TestLongRoPEIsChosenOnce(t *testing.T) {
	path := modelFile(t, filepath.Join("families", "phi3-longrope"), convert.Options{Mode: convert.F32})
	ids := loadReference(t, "families", "phi3-longrope").Cases[0].IDs
	last := func(context int) []float32 {
		m := open(t, path, runtime.WithContext(context))
		logits, err := session(t, m).Append(ids)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(logits)
	}
	if got := open(t, path).Shape().Context; got != 64 {
		t.Errorf("the usual context is %d, want the original 64", got)
	}
	usual, long := last(0), last(65)
	for _, context := range []int{10, 64} {
		sameBits(t, fmt.Sprintf("context %d", context), last(context), usual)
	}
	sameBits(t, "context 160", last(160), long)
	if slices.Equal(usual, long) {
		t.Error("long and short factors give the same logits")
	}
}

// TestReadsOfWindows: a token reads of layers with a window no more than that.
func TestReadsOfWindows(t *testing.T) {
	for name, read := range map[string]int64{"llama": 3 * 100, "mistral": 3 * 24, "qwen2": 2*100 + 2*24, "gemma3": 6*24 + 100} {
		m := openFamily(t, name, convert.Options{Mode: convert.F32})
		if got, want := m.KVRead(100), m.KVBytes(1)/int64(m.Shape().Layers)*read; got != want {
			t.Errorf("%s: the 100th token reads %d bytes, want %d", name, got, want)
		}
	}
}
