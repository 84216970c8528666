package convert

import (
	"math"
	"strings"
	"testing"
)

// TestGPT2Importance compares what the plan says of each matrix's inputs with the definition, by the source's own values.
func TestGPT2Importance(t *testing.T) {
	for _, untied := range []bool{false, true} {
		shape := tiny
		shape.Untied = untied
		m := newTestModel(t, shape)
		squares := func(name string) []float64 {
			var s []float64
			for _, v := range m.values(name) {
				s = append(s, float64(v)*float64(v))
			}
			return s
		}
		// values are the columns from 48 on of a matrix [24, 72].
		values := func(block string) []float64 {
			combined, norm := m.values(block+"attn.c_attn.weight"), squares(block+"ln_1.weight")
			variance := make([]float64, 24)
			for r := range variance {
				for k := range norm {
					w := float64(combined[k*72+48+r])
					variance[r] += w * w * norm[k]
				}
			}
			return variance
		}
		want := map[string][]float64{
			"wte.weight":             squares("ln_f.weight"),
			"h.0.attn.c_attn.weight": squares("h.0.ln_1.weight"),
			"h.1.attn.c_attn.weight": squares("h.1.ln_1.weight"),
			"h.0.attn.c_proj.weight": values("h.0."),
			"h.1.attn.c_proj.weight": values("h.1."),
		}
		if untied {
			want[gpt2Head] = want["wte.weight"]
			delete(want, "wte.weight")
		}
		source, err := openModel(m.write(t))
		if err != nil {
			t.Fatal(err)
		}
		defer source.close()
		p, err := source.plan()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range p.weights {
			expected, ok := want[strings.TrimPrefix(w.Name, "transformer.")]
			if ok != (w.importance != nil) {
				t.Errorf("untied %v: %s has an importance: %v", untied, w.Name, !ok)
				continue
			}
			if !ok {
				continue
			}
			got := w.importance()
			if len(got) != w.Shape[1] {
				t.Fatalf("%s: %d factors for %d columns", w.Name, len(got), w.Shape[1])
			}
			for k, v := range got {
				if math.Abs(float64(v)-expected[k]) > 1e-5*expected[k] {
					t.Fatalf("%s: column %d has %v, want %v", w.Name, k, v, expected[k])
				}
			}
		}
	}
}
