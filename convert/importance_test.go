package convert

import (
	"math"
	"strings"
	"testing"
)

// TestFamilyImportance compares by the source's own values where query heads share values, norms have an offset, and queries,
// keys and values are tensors of their own; and where there is no norm before the matrix.
func TestFamilyImportance(t *testing.T) {
	for name, c := range map[string]struct{ offset, heads, kvHeads, width float64 }{"gemma2": {1, 4, 2, 32}, "qwen3": {0, 4, 2, 40}, "olmo2": {0, 4, 2, 32}} {
		m := readTestModel(t, familyDirectory(name))
		source, err := openModel(familyDirectory(name))
		if err != nil {
			t.Fatal(err)
		}
		defer source.close()
		p, err := source.plan()
		if err != nil {
			t.Fatal(err)
		}
		norm := m.values("model.layers.1.input_layernorm.weight")
		inputs := make([]float64, p.weights[0].Shape[1])
		for k := range inputs {
			if inputs[k] = 1; len(norm) > 0 {
				inputs[k] = math.Pow(float64(norm[k])+c.offset, 2)
			}
		}
		values := m.values("model.layers.1.self_attn.v_proj.weight")
		for _, w := range p.weights {
			switch w.Name {
			case "layer.1.attention.qkv.weight":
				if (w.importance == nil) != (len(norm) == 0) {
					t.Errorf("%s: has %s an importance: %v", name, w.Name, w.importance != nil)
				} else if len(norm) > 0 {
					sameFactors(t, name+": "+w.Name, w.importance(), inputs)
				}
			case "layer.1.attention.output.weight":
				want := make([]float64, int(c.heads*c.width))
				for i := range want {
					head, dimension := i/int(c.width), i%int(c.width)
					row := head/int(c.heads/c.kvHeads)*int(c.width) + dimension
					for k, v := range inputs {
						want[i] += math.Pow(float64(values[row*len(inputs)+k]), 2) * v
					}
				}
				sameFactors(t, name+": "+w.Name, w.importance(), want)
			}
		}
	}
}

func sameFactors(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d factors, want %d", what, len(got), len(want))
	}
	for k, v := range got {
		if math.Abs(float64(v)-want[k]) > 1e-5*want[k] {
			t.Fatalf("%s: column %d has %v, want %v", what, k, v, want[k])
		}
	}
}

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
