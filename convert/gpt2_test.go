package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format/architecture"
)

func planOf(t testing.TB, directory string) (plan, error) {
	t.Helper()
	m, err := openModel(directory)
	if err != nil {
		return plan{}, err
	}
	defer m.close()
	return m.plan()
}

// Fields of the configuration and what the file says then.
func TestGPT2Hyperparameters(t *testing.T) {
	const usual = `{"vocab_size":300,"n_ctx":8,"n_embd":24,"n_layer":2,"n_head":2,"n_inner":96,"activation":"gelu_new",` +
		`"layer_norm_epsilon":0.00001,"scale_attn_weights":true,"scale_attn_by_inverse_layer_idx":false,"tied_head":true,` +
		`"eos_token_id":299,"bos_token_id":299}`
	for _, c := range []struct {
		name       string
		change     map[string]any // nil deletes
		generation string
		want       map[string]any // where it differs from the usual
	}{
		{name: "usual"},
		{name: "activation gelu", change: map[string]any{"activation_function": "gelu"}, want: map[string]any{"activation": "gelu"}},
		{name: "activation relu", change: map[string]any{"activation_function": "relu"}, want: map[string]any{"activation": "relu"}},
		{name: "activation gelu_pytorch_tanh", change: map[string]any{"activation_function": "gelu_pytorch_tanh"}},
		{name: "default activation", change: map[string]any{"activation_function": nil}},
		{name: "epsilon", change: map[string]any{"layer_norm_epsilon": 0.5}, want: map[string]any{"layer_norm_epsilon": 0.5}},
		{name: "attention not scaled", change: map[string]any{"scale_attn_weights": false}, want: map[string]any{"scale_attn_weights": false}},
		{name: "attention scaled by layer", change: map[string]any{"scale_attn_by_inverse_layer_idx": true}, want: map[string]any{"scale_attn_by_inverse_layer_idx": true}},
		{name: "attention reordered", change: map[string]any{"reorder_and_upcast_attn": true}},
		{name: "no cross attention", change: map[string]any{"add_cross_attention": false, "pruned_heads": map[string]any{}}},
		{name: "no model type", change: map[string]any{"model_type": nil}},
		{name: "bare model", change: map[string]any{"architectures": []string{"GPT2Model"}}},
		{name: "no architectures", change: map[string]any{"architectures": nil}},
		{name: "n_positions wins", change: map[string]any{"n_ctx": 5}},
		{name: "n_ctx alone", change: map[string]any{"n_positions": nil}},
		{name: "general names", change: map[string]any{
			"n_positions": nil, "n_ctx": nil, "n_embd": nil, "n_layer": nil, "n_head": nil,
			"max_position_embeddings": 8, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
		}, want: map[string]any{"n_head": 3}},
		{name: "case matters", change: map[string]any{"N_HEAD": 3, "Activation_Function": "relu"}},
		{name: "no end of text", change: map[string]any{"eos_token_id": json.RawMessage("null")}, want: map[string]any{"eos_token_id": nil}},
		{name: "default tokens beyond the vocabulary", change: map[string]any{"eos_token_id": nil, "bos_token_id": nil},
			want: map[string]any{"eos_token_id": nil, "bos_token_id": nil}},
		{name: "token -1", change: map[string]any{"bos_token_id": -1}, want: map[string]any{"bos_token_id": nil}},
		{name: "list of tokens", change: map[string]any{"eos_token_id": []int{7, 8}}, want: map[string]any{"eos_token_id": 7}},
		{name: "generation wins", generation: `{"eos_token_id":[5],"bos_token_id":null}`, want: map[string]any{"eos_token_id": 5}},
		{name: "generation silent", generation: `{"do_sample":true}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newTestModel(t, tiny)
			for name, value := range c.change {
				m.config[name] = value
				if value == nil {
					delete(m.config, name)
				}
			}
			if c.generation != "" {
				m.files[generationFile] = c.generation
			}
			p, err := planOf(t, m.write(t))
			if err != nil {
				t.Fatal(err)
			}
			var want, got map[string]any
			if err := json.Unmarshal([]byte(usual), &want); err != nil {
				t.Fatal(err)
			}
			maps.Copy(want, c.want)
			if err := json.Unmarshal(encoded(t, p.hyperparameters), &got); err != nil {
				t.Fatal(err)
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			if !bytes.Equal(a, b) {
				t.Errorf("got  %s\nwant %s", a, b)
			}
		})
	}
}

func encoded(t *testing.T, h architecture.Hyperparameters) []byte {
	t.Helper()
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// An absent configuration value is GPT-2's: the smallest valid config.json is that of GPT-2 itself.
func TestGPT2Defaults(t *testing.T) {
	c, err := parseConfig([]byte(`{"model_type":"gpt2"}`))
	if err != nil {
		t.Fatal(err)
	}
	h, err := gpt2{}.plan(c, newPlanner(nil))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(h)
	const want = `{"vocab_size":50257,"n_ctx":1024,"n_embd":768,"n_layer":12,"n_head":12,"n_inner":3072,"activation":"gelu_new",` +
		`"layer_norm_epsilon":0.00001,"scale_attn_weights":true,"scale_attn_by_inverse_layer_idx":false,"tied_head":true,` +
		`"eos_token_id":50256,"bos_token_id":50256}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestGPT2Plan(t *testing.T) {
	wide := tiny
	wide.Hidden = 40
	untied := tiny
	untied.Untied = true
	prefixed := tiny
	prefixed.Prefix = "transformer."
	const matrices = `wte.weight [300 24] ` +
		`h.0.attn.c_attn.weight [72 24] h.0.attn.c_proj.weight [24 24] h.0.mlp.c_fc.weight [96 24] h.0.mlp.c_proj.weight [24 96] ` +
		`h.1.attn.c_attn.weight [72 24] h.1.attn.c_proj.weight [24 24] h.1.mlp.c_fc.weight [96 24] h.1.mlp.c_proj.weight [24 96]`
	for _, c := range []struct {
		name  string
		model synthetic.Model
		want  string
	}{
		{"plain", tiny, matrices},
		{"prefixed", prefixed, matrices},
		{"n_inner", wide, strings.ReplaceAll(matrices, "96", "40")},
		{"untied", untied, matrices + " lm_head.weight [300 24]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := planOf(t, newTestModel(t, c.model).write(t))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range p.weights {
				if w.IsMatrix() {
					got = append(got, fmt.Sprint(w.Name, " ", w.Shape))
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), c.want)
			}
		})
	}
}

// The file decides about the head, by its bytes.
func TestGPT2Head(t *testing.T) {
	tied := func(t *testing.T, m *testModel) bool {
		p, err := planOf(t, m.write(t))
		if err != nil {
			t.Fatal(err)
		}
		h := p.hyperparameters
		stored := slices.ContainsFunc(p.weights, func(w weight) bool { return w.Name == "lm_head.weight" })
		if stored == h.Tied() {
			t.Errorf("head stored: %v, tied: %v", stored, h.Tied())
		}
		return h.Tied()
	}
	m := newTestModel(t, tiny)
	wte := m.tensors["wte.weight"]
	m.tensors["lm_head.weight"] = wte
	if !tied(t, m) {
		t.Error("a head equal to the embedding is stored")
	}
	m.config["tie_word_embeddings"] = false
	if !tied(t, m) {
		t.Error("a head equal to the embedding is stored where the configuration unties it")
	}
	m.put(t, "lm_head.weight", 300*24-1, 0, 0, 0, 0)
	if tied(t, m) {
		t.Error("a head of its own is lost")
	}
	m.config["tie_word_embeddings"] = true
	if tied(t, m) {
		t.Error("a head of its own is lost where the configuration ties it")
	}
}

// Buffers that hold the causal mask are neither wanted nor refused.
func TestGPT2IgnoresMasks(t *testing.T) {
	prefixed := tiny
	prefixed.Prefix = "transformer."
	m := newTestModel(t, prefixed)
	for layer := range 2 {
		m.set(t, fmt.Sprintf("transformer.h.%d.attn.bias", layer), safetensors.BOOL, []uint64{1, 1, 8, 8}, make([]byte, 64))
		m.set(t, fmt.Sprintf("transformer.h.%d.attn.masked_bias", layer), safetensors.F32, []uint64{1}, make([]byte, 4))
	}
	if _, err := planOf(t, m.write(t)); err != nil {
		t.Error(err)
	}
}

// Whatever a configuration says, it is accepted or refused: quickly, in one line, and with a
// plan only for tensors that are there.
func FuzzConfig(f *testing.F) {
	for _, path := range []string{"../testdata/fable/config.json", "../testdata/fable-draft/config.json"} {
		text, err := os.ReadFile(filepath.FromSlash(path))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte(`{"eos_token_id":[1]}`))
	}
	own, err := json.Marshal(newTestModel(f, tiny).config)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own, []byte(`{}`))
	for _, text := range []string{
		`null`, `[]`, `{"model_type":"mamba"}`, `{"model_type":["gpt2"]}`, `{"architectures":"GPT2Model"}`, `{"model_type":"gpt2","n_layer":2147483647}`,
		`{"model_type":"gpt2","n_embd":2147483647,"n_head":1,"vocab_size":2147483647}`, `{"model_type":"gpt2","n_head":0}`,
		`{"model_type":"gpt2","layer_norm_epsilon":1e999}`, `{"model_type":"gpt2","eos_token_id":{}}`, `{"model_type":"gpt2","n_layer":1.5}`,
	} {
		f.Add([]byte(text), []byte(text))
		f.Add([]byte(text), []byte(`{"eos_token_id":1}`))
	}
	tensors := map[string]map[string]tensor{} // of a model of each type
	for _, directory := range append(familyDirectories(), newTestModel(f, tiny).write(f)) {
		m, err := openModel(directory)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(m.close)
		tensors[m.config.text("model_type", "")] = m.tensors
		text, err := os.ReadFile(filepath.Join(directory, configurationFile))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte(`{}`))
	}
	for _, c := range familyRefusals {
		m := readTestModel(f, familyDirectory(c.family))
		before := string(encodedConfig(f, m))
		c.change(f, m)
		if after := string(encodedConfig(f, m)); after != before {
			f.Add([]byte(after), []byte(`{}`))
		}
	}
	f.Fuzz(func(t *testing.T, text, generation []byte) {
		var err error
		var m model
		if m.config, err = parseConfig(text); err != nil {
			checkMessage(t, err, "")
			return
		}
		m.tensors = tensors[(&config{fields: m.config.fields}).text("model_type", "gpt2")]
		if m.generation, err = parseConfig(generation); err != nil {
			checkMessage(t, err, "")
			return
		}
		p, err := m.plan()
		if err != nil {
			checkMessage(t, err, "")
			return
		}
		for _, w := range p.weights {
			if len(w.Shape) == 0 || w.computed == nil && (len(w.sources) == 0 || w.sources[0].data == nil) {
				t.Errorf("weight %s %v has no source", w.Name, w.Shape)
			}
		}
	})
}
