package architecture

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// section returns FORMAT.md's section about an architecture.
func section(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### "+name+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	section, _, _ = strings.Cut(section, "\n### ")
	return section
}

// documented reads the tensors of an architecture from the table of FORMAT.md, of a model with two layers, one rotary
// embedding and hyper-parameters of the given values: name, shape and whether it is kept in panels. Of several shapes, the
// one of that number counts. absent are remarks on tensors that the model does not have.
func documented(t *testing.T, name string, values map[string]int, alternative int, absent ...string) (tensors []string) {
	t.Helper()
	_, table, ok := strings.Cut(section(t, name), "\n| section | shape | |\n")
	if !ok {
		t.Fatalf("FORMAT.md has no tensors of %s", name)
	}
	row := regexp.MustCompile("^\\| (`.*`) \\| (\\[.*\\]) \\| (.*)\\|$")
	var layer []string
	flush := func() {
		for n := 0; n < 2 && layer != nil; n++ {
			for _, line := range layer {
				tensors = append(tensors, strings.Replace(line, ".N.", fmt.Sprintf(".%d.", n), 1))
			}
		}
		layer = nil
	}
	before := ""
	for _, line := range strings.Split(table, "\n")[1:] {
		fields := row.FindStringSubmatch(line)
		if fields == nil {
			break
		}
		remark := fields[3]
		if strings.HasPrefix(remark, "likewise") {
			remark = before
		}
		before = remark
		if slices.ContainsFunc(absent, func(words string) bool { return strings.Contains(remark, words) }) {
			continue
		}
		shapes := strings.Split(fields[2], " or ")
		var shape []int
		for _, dimension := range strings.Split(strings.Trim(shapes[min(alternative, len(shapes)-1)], "[]"), ", ") {
			shape = append(shape, evaluate(t, dimension, values))
		}
		for _, tensor := range strings.Split(fields[1], ", ") {
			entry := fmt.Sprint(strings.Replace(strings.Trim(tensor, "`"), ".R.", ".0.", 1), shape, strings.Contains(remark, "panels"))
			if strings.Contains(entry, ".N.") {
				layer = append(layer, entry)
				continue
			}
			flush()
			tensors = append(tensors, entry)
		}
	}
	return tensors
}

// evaluate returns the value of a product or quotient, of which a factor may be a sum of products in parentheses.
func evaluate(t *testing.T, term string, values map[string]int) int {
	t.Helper()
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(term, "("), ")"); ok {
		sum := 0
		for _, summand := range strings.Split(inner, "+") {
			sum += evaluate(t, summand, values)
		}
		return sum * evaluate(t, strings.TrimPrefix(rest, "·"), values)
	}
	if dividend, divisor, ok := strings.Cut(term, "/"); ok {
		return evaluate(t, dividend, values) / evaluate(t, divisor, values)
	}
	product := 1
	for _, factor := range strings.Split(term, "·") {
		n, err := strconv.Atoi(factor)
		if err != nil {
			n = values[factor]
		}
		if n == 0 {
			t.Fatalf("dimension %q", term)
		}
		product *= n
	}
	return product
}

func listed(h Hyperparameters) (list []string) {
	for tensor := range h.Tensors() {
		list = append(list, fmt.Sprint(tensor.Name, tensor.Shape, tensor.IsMatrix()))
	}
	return list
}

func TestDocumentTensors(t *testing.T) {
	h := &GPT2{Vocabulary: 11, Context: 13, Embedding: 8, Layers: 2, Heads: 2, Hidden: 19}
	got := listed(h)
	want := documented(t, GPT2Name, map[string]int{"vocab_size": 11, "n_ctx": 13, "n_embd": 8, "n_inner": 19}, 0)
	if !slices.Equal(got, want) {
		t.Errorf("tensors are\n%s\nFORMAT.md says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// decoderOptions are the hyper-parameters that ask for tensors, as FORMAT.md's remarks name them.
var decoderOptions = map[string]func(h *Decoder, wanted bool){
	"`short_context` is not 0": func(h *Decoder, wanted bool) {
		if wanted {
			h.Rotary[0].ShortContext = 5
		}
	},
	"`input_norms`":        func(h *Decoder, wanted bool) { h.InputNorms = wanted },
	"`output_norms`":       func(h *Decoder, wanted bool) { h.OutputNorms = wanted },
	"`qkv_bias`":           func(h *Decoder, wanted bool) { h.QKVBias = wanted },
	"`output_bias`":        func(h *Decoder, wanted bool) { h.OutputBias = wanted },
	"`mlp_bias`":           func(h *Decoder, wanted bool) { h.MLPBias = wanted },
	"`tied_head` is false": func(h *Decoder, wanted bool) { h.TiedHead = !wanted },
	"`query_key_norm`": func(h *Decoder, wanted bool) {
		if !wanted {
			h.QueryKeyNorm = NoNorm
		}
	},
}

func newDecoder() *Decoder {
	rotary := 0
	return &Decoder{
		Family: "test", Vocabulary: 11, Context: 13, Embedding: 8, Heads: 6, KVHeads: 2, HeadWidth: 10, Hidden: 19, Layers: []DecoderLayer{{Rotary: &rotary}, {Window: 3}},
		Rotary: []Rotary{{Width: 6, Scale: 1, Source: []byte("{}")}}, Activation: SiLU, Epsilon: 1e-5, EmbeddingMultiplier: 1, AttentionMultiplier: 1, ResidualMultiplier: 1, LogitDivisor: 1,
		QueryKeyNorm: PerHead,
	}
}

// TestDocumentDecoder compares models that have all tensors, and models that lack those which one hyper-parameter asks for.
func TestDocumentDecoder(t *testing.T) {
	values := map[string]int{"vocab_size": 11, "embedding": 8, "heads": 6, "kv_heads": 2, "head_width": 10, "hidden": 19, "width": 6}
	for alternative, norm := range []QueryKeyNorm{PerHead, AllOf} {
		for _, lacking := range append(slices.Sorted(maps.Keys(decoderOptions)), "nothing") {
			h := newDecoder()
			h.QueryKeyNorm = norm
			for option, set := range decoderOptions {
				set(h, option != lacking)
			}
			if err := h.Validate(); err != nil {
				t.Fatal(err)
			}
			got, want := listed(h), documented(t, DecoderName, values, alternative, lacking)
			if !slices.Equal(got, want) {
				t.Errorf("without %s, tensors are\n%s\nFORMAT.md says\n%s", lacking, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// TestDocumentKeys compares the keys of hyper-parameters with those that the first table of an architecture lists.
func TestDocumentKeys(t *testing.T) {
	for name, h := range map[string]Hyperparameters{GPT2Name: &GPT2{}, DecoderName: newDecoder()} {
		_, table, _ := strings.Cut(section(t, name), "\n| key | value |\n")
		table, _, _ = strings.Cut(table, "\n\n")
		var want []string
		for _, line := range strings.Split(table, "\n")[1:] {
			for _, key := range strings.Split(strings.Split(line, " | ")[0], ", ") {
				want = append(want, strings.Trim(key, "| `"))
			}
		}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		got := slices.Collect(maps.Keys(keys))
		for key, value := range keys {
			if list, ok := value.([]any); ok {
				for inner := range list[0].(map[string]any) {
					got = append(got, key+"[]."+inner)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s has\n%v, FORMAT.md says\n%v", name, got, want)
		}
	}
}

func TestStreamed(t *testing.T) {
	for _, tied := range []bool{true, false} {
		h := &GPT2{Vocabulary: 11, Context: 13, Embedding: 8, Layers: 1, Heads: 2, Hidden: 19, TiedHead: tied}
		var names []string
		for tensor := range Streamed(h) {
			names = append(names, tensor.Name)
		}
		block := []string{"h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_fc.weight", "h.0.mlp.c_proj.weight"}
		want := append(block, "lm_head.weight")
		if tied {
			want = append([]string{"wte.weight"}, block...)
		}
		if !slices.Equal(names, want) {
			t.Errorf("tied %v: %v, want %v", tied, names, want)
		}
	}
}

func TestParse(t *testing.T) {
	gpt2, err := json.Marshal(&GPT2{Vocabulary: 11, Context: 13, Embedding: 8, Layers: 1, Heads: 1, Hidden: 19, Activation: GELU, Epsilon: 1e-5})
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := json.Marshal(newDecoder())
	if err != nil {
		t.Fatal(err)
	}
	valid := map[string]string{GPT2Name: string(gpt2), DecoderName: string(decoder)}
	for name, text := range valid {
		if _, err := Parse(name, []byte(text)); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ name, old, new, want string }{
		{GPT2Name, `"n_head":1`, `"n_head":3`, "n_embd 8 is not a multiple of n_head 3"},
		{GPT2Name, `"n_head":1`, `"n_head":0`, "n_head is 0"},
		{GPT2Name, `"gelu"`, `"silu"`, `unsupported by this version: activation "silu"`},
		{GPT2Name, `"layer_norm_epsilon"`, `"Layer_Norm_Epsilon"`, "layer_norm_epsilon is missing"},
		{GPT2Name, `"layer_norm_epsilon":0.00001`, `"layer_norm_epsilon":null`, "layer_norm_epsilon is missing"},
		{GPT2Name, `"eos_token_id":null,`, ``, "eos_token_id is missing"},
		{DecoderName, `"kv_heads":2`, `"kv_heads":4`, "heads 6 are not a multiple of kv_heads 4"},
		{DecoderName, `"kv_heads":2`, `"kv_heads":-2`, "kv_heads is -2"},
		{DecoderName, `"heads":6`, `"heads":600000000`, "heads 600000000 and kv_heads 2 of head_width 10 are too many"},
		{DecoderName, `"hidden":19`, `"hidden":2000000000`, "hidden is 2000000000"},
		{DecoderName, `"silu"`, `"gelu_9"`, `unsupported by this version: activation "gelu_9"`},
		{DecoderName, `"query_key_norm":"head"`, `"query_key_norm":"both"`, `unsupported by this version: query_key_norm "both"`},
		{DecoderName, `"layers":[{"window":0,"rotary":0},{"window":3,"rotary":null}]`, `"layers":[]`, "layers are 0, want 1 to 1024"},
		{DecoderName, `"window":3`, `"window":-3`, "layer 1: window is -3"},
		{DecoderName, `"window":3,`, ``, "layers: [1]: window is missing"},
		{DecoderName, `"rotary":0`, `"rotary":1`, "layer 0: rotary is 1 of 1"},
		{DecoderName, `"width":6`, `"width":7`, "rotary 0: width is 7, want an even number up to head_width 10"},
		{DecoderName, `"width":6`, `"width":12`, "rotary 0: width is 12, want an even number up to head_width 10"},
		{DecoderName, `"scale":1`, `"scale":0`, "rotary 0: scale is 0"},
		{DecoderName, `"scale":1,`, ``, "rotary: [0]: scale is missing"},
		{DecoderName, `"short_context":0`, `"short_context":14`, "rotary 0: short_context is 14 of 13 positions"},
		{DecoderName, `"rms_norm_epsilon":0.00001`, `"rms_norm_epsilon":0`, "rms_norm_epsilon is 0"},
		{DecoderName, `"logit_divisor":1`, `"logit_divisor":1e300`, "logit_divisor is 1e+300"},
		{DecoderName, `"logit_divisor":1`, `"logit_divisor":1e-300`, "logit_divisor is 1e-300"},
		{DecoderName, `"attention_cap":0`, `"attention_cap":-1`, "attention_cap is -1"},
		{DecoderName, `"attention_cap":0`, `"attention_cap":null`, "attention_cap is missing"},
	} {
		text := strings.Replace(valid[c.name], c.old, c.new, 1)
		if text == valid[c.name] {
			t.Errorf("%s is not in %s", c.old, text)
		}
		if _, err := Parse(c.name, []byte(text)); err == nil || err.Error() != "hyperparameters: "+c.want {
			t.Errorf("%s: %v, want %s", c.new, err, c.want)
		}
	}
	if _, err := Parse("gpt9", gpt2); err == nil || !strings.Contains(err.Error(), `architecture "gpt9"`) {
		t.Errorf("gpt9: %v", err)
	}
}
