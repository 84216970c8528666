package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/synthetic/cached"
	"github.com/tti-llm/tti/runtime"
)

// BenchmarkBatch compares, on a model of GPT-2's size, a pass over one token each of some sessions with a pass over as many
// tokens of one.
func BenchmarkBatch(b *testing.B) {
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Skip(err)
	}
	for _, mode := range []convert.Options{{Mode: convert.F32}, {Mode: convert.Int8}, {Mode: convert.Int4}, {Mode: convert.Int4, Int4: convert.All}} {
		name, err := mode.ModeName()
		if err != nil {
			b.Fatal(err)
		}
		path, err := cached.File(b.Context(), filepath.Join(cache, "tti", "synthetic"), "gpt2", mode)
		if err != nil {
			b.Fatal(err)
		}
		m := open(b, path, runtime.WithoutVerify())
		for _, count := range []int{8, 16} {
			const depth = 32
			batch, sessions := m.NewBatch(), make([]*runtime.Session, count)
			for i := range sessions {
				sessions[i] = session(b, m)
				if _, err := sessions[i].Append(tale(depth)); err != nil {
					b.Fatal(err)
				}
			}
			ids := tale(count)
			b.Run(fmt.Sprintf("%s/%d/sessions", name, count), func(b *testing.B) {
				for b.Loop() {
					for i, s := range sessions {
						s.Truncate(depth)
						if err := batch.Add(s, ids[i:i+1], 1); err != nil {
							b.Fatal(err)
						}
					}
					if err := batch.Run(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("%s/%d/one", name, count), func(b *testing.B) {
				for b.Loop() {
					sessions[0].Truncate(depth)
					if _, err := sessions[0].AppendAll(ids); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkSharedPrefix measures a pass over one token each of texts that are forks of one beginning, and of texts that have
// beginnings of the same length of their own.
func BenchmarkSharedPrefix(b *testing.B) {
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Skip(err)
	}
	for _, model := range []struct {
		name     string
		prefixes []int
	}{{"gpt2", []int{512, 960}}, {"smollm2-135m", []int{512, 2048}}} {
		path, err := cached.File(b.Context(), filepath.Join(cache, "tti", "synthetic"), model.name, convert.Options{Mode: convert.Int8})
		if err != nil {
			b.Fatal(err)
		}
		for _, encoding := range []runtime.KV{runtime.F32, runtime.F16, runtime.Int8} {
			m := open(b, path, runtime.WithoutVerify(), runtime.WithKV(encoding))
			for _, prefix := range model.prefixes {
				for _, count := range []int{1, 16, 32} {
					for _, shared := range []bool{true, false} {
						if !shared && (prefix > 512 || count != 16) || shared && count == 1 && prefix > 512 {
							continue
						}
						name := fmt.Sprintf("%s/%v/%d/%dtexts", model.name, encoding, prefix, count)
						if !shared {
							name += "/separate"
						}
						b.Run(name, func(b *testing.B) { measureTexts(b, m, prefix, count, shared) })
					}
				}
			}
		}
	}
}

// measureTexts measures a pass over one token each of texts that have a beginning and a few tokens of their own.
func measureTexts(b *testing.B, m *runtime.Model, prefix, count int, shared bool) {
	batch, sessions := m.NewBatch(), make([]*runtime.Session, count)
	for i := range sessions {
		var err error
		if i > 0 && shared {
			sessions[i], err = sessions[0].Fork()
			sessions[i].Truncate(prefix)
		} else {
			sessions[i] = m.NewSession()
			_, err = sessions[i].Append(tale(prefix))
		}
		if err != nil {
			b.Fatal(err)
		}
		if _, err := sessions[i].Append(tale(1 + i*5%16)); err != nil {
			b.Fatal(err)
		}
		defer sessions[i].Close()
	}
	ids := tale(count)
	for b.Loop() {
		for i, s := range sessions {
			s.Truncate(prefix + 1 + i*5%16)
			if err := batch.Add(s, ids[i:i+1], 1); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Run(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
