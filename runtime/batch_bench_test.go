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
		name := string(mode.Mode)
		if mode.Int4 != "" {
			name += "-" + string(mode.Int4)
		}
		path, err := cached.File(b.Context(), filepath.Join(cache, "tti", "synthetic"), "gpt2", name, mode)
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
