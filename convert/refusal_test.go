package convert

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nlpodyssey/safetensors"

	"github.com/tti-llm/tti/convert/modelfiles"
)

// refusals are directories that must not be converted: what is wrong with them, and what the error
// must name.
var refusals = []struct {
	name   string
	change func(t testing.TB, m *testModel)
	mode   Mode
	want   string
}{
	{name: "tensor missing", change: drop("h.1.mlp.c_fc.bias"), want: "tensor h.1.mlp.c_fc.bias: missing, the configuration asks for it with shape [96]"},
	{name: "embedding missing", change: drop("wte.weight"), want: "tensor wte.weight: missing"},
	{name: "last norm missing", change: drop("ln_f.bias"), want: "tensor ln_f.bias: missing"},
	{name: "matrix misshaped", change: reshape("h.0.attn.c_attn.weight", 24, 71), want: "tensor h.0.attn.c_attn.weight: shape [24 71], the configuration asks for [24 72]"},
	{name: "matrix not transposed", change: reshape("h.0.mlp.c_fc.weight", 96, 24), want: "tensor h.0.mlp.c_fc.weight: shape [96 24], the configuration asks for [24 96]"},
	{name: "rank too high", change: reshape("ln_f.weight", 1, 24), want: "tensor ln_f.weight: shape [1 24], the configuration asks for [24]"},
	{name: "unknown tensor", change: add("score.weight"), want: "tensor score.weight: unknown"},
	{name: "unknown tensor with a prefix", change: add("transformer.wte.weight.1"), want: "tensor transformer.wte.weight.1: unknown"},
	{name: "tensor with and without prefix", change: add("transformer.h.1.ln_1.bias"), want: "h.1.ln_1.bias: shape [2], the configuration asks for [24]"},
	{name: "bias of the head", change: add("lm_head.bias"), want: "tensor lm_head.bias: unknown"},
	{name: "more layers than configured", change: set("n_layer", 1), want: "tensor h.1.attn.c_attn.bias: unknown, or more than the configuration asks for"},
	{name: "fewer layers than configured", change: set("n_layer", 3), want: "tensor h.2.ln_1.weight: missing"},
	{name: "absurdly many layers", change: set("n_layer", math.MaxInt32), want: "tensor h.2.ln_1.weight: missing"},
	{name: "mask of a layer beyond", change: add("h.2.attn.bias"), want: "tensor h.2.attn.bias: unknown"},
	{name: "vocabulary contradicts", change: set("vocab_size", 301), want: "tensor wte.weight: shape [300 24], the configuration asks for [301 24]"},
	{name: "positions contradict", change: set("n_positions", 9), want: "tensor wpe.weight: shape [8 24], the configuration asks for [9 24]"},
	{name: "width contradicts", change: set("n_embd", 26), want: "tensor wte.weight: shape [300 24], the configuration asks for [300 26]"},
	{name: "n_inner contradicts", change: set("n_inner", 97), want: "shape [24 96], the configuration asks for [24 97]"},
	{name: "heads do not divide", change: set("n_head", 5), want: "n_embd 24 is not a multiple of n_head 5"},
	{name: "no heads", change: set("n_head", 0), want: `n_head: found "0", want an integer from 1 to 2147483647`},
	{name: "negative width", change: set("n_embd", -24), want: `n_embd: found "-24"`},
	{name: "fractional width", change: set("n_embd", 24.5), want: `n_embd: found "24.5"`},
	{name: "width in words", change: set("n_embd", "24"), want: "n_embd"},
	{name: "huge width", change: set("n_embd", 1<<40), want: "n_embd"},
	{name: "epsilon of zero", change: set("layer_norm_epsilon", 0), want: "layer_norm_epsilon"},
	{name: "epsilon that underflows", change: set("layer_norm_epsilon", 1e-60), want: "layer_norm_epsilon"},
	{name: "flag in words", change: set("scale_attn_weights", "yes"), want: `scale_attn_weights: found "\"yes\"", want true or false`},
	{name: "end of text in words", change: set("eos_token_id", "end"), want: "eos_token_id"},
	{name: "unknown activation", change: set("activation_function", "swish"), want: `activation_function: "swish" is not supported`},
	{name: "unknown model type", change: set("model_type", "mamba"), want: `model_type "mamba" is not supported (supported: gpt2, llama, `},
	{name: "unknown architecture", change: set("architectures", []string{"GPT2ForSequenceClassification"}), want: `architecture "GPT2ForSequenceClassification" is not supported`},
	{name: "architecture alone", change: func(t testing.TB, m *testModel) {
		delete(m.config, "model_type")
		m.config["architectures"] = []string{"MambaForCausalLM"}
	}, want: `architecture "MambaForCausalLM" is not supported (supported: gpt2, llama, `},
	{name: "no architecture", change: func(t testing.TB, m *testModel) {
		delete(m.config, "model_type")
		delete(m.config, "architectures")
	}, want: `model_type "" is not supported`},
	{name: "cross attention", change: set("add_cross_attention", true), want: "add_cross_attention"},
	{name: "pruned heads", change: set("pruned_heads", map[string][]int{"0": {1}}), want: "pruned_heads"},
	{name: "quantized", change: set("quantization_config", map[string]int{"bits": 4}), want: "quantization_config"},
	{name: "untied without a head", change: set("tie_word_embeddings", false), want: "tie_word_embeddings is false, but tensor lm_head.weight is missing"},
	{name: "misshaped head", change: add("lm_head.weight"), want: "tensor lm_head.weight: shape [2], the configuration asks for [300 24]"},

	{name: "integer weights", change: retype("ln_f.bias", safetensors.I32), want: "tensor ln_f.bias: type I32 is not supported (supported: F32, BF16, F16)"},
	{name: "float64 weights", change: func(t testing.TB, m *testModel) {
		m.set(t, "ln_f.bias", safetensors.F64, []uint64{24}, make([]byte, 8*24))
	}, want: "tensor ln_f.bias: type F64"},
	{name: "NaN in a matrix", change: put("h.1.mlp.c_proj.weight", 5*24+3, 0, 0, 0xc0, 0x7f), want: "tensor h.1.mlp.c_proj.weight: value NaN at [5 3] is not finite"},
	{name: "NaN in a matrix, quantized", change: put("h.1.mlp.c_proj.weight", 95*24+23, 0, 0, 0xc0, 0xff), mode: Int4, want: "tensor h.1.mlp.c_proj.weight: value NaN at [95 23] is not finite"},
	{name: "infinity in the embedding", change: put("wte.weight", 299*24+7, 0, 0, 0x80, 0xff), mode: Int8, want: "tensor wte.weight: value -Inf at [299 7] is not finite"},
	{name: "NaN in a vector", change: put("h.0.ln_2.bias", 23, 0, 0, 0xc0, 0x7f), want: "tensor h.0.ln_2.bias: value NaN at [23] is not finite"},
	{name: "infinity in the positions", change: put("wpe.weight", 2*24+1, 0, 0, 0x80, 0x7f), want: "tensor wpe.weight: value +Inf at [2 1] is not finite"},
	{name: "too large for f16", change: put("h.0.attn.c_attn.weight", 2*72+70, 0, 0, 0x80, 0x47), mode: F16, want: "tensor h.0.attn.c_attn.weight: value 65536 at [2 70] is too large for f16"},

	{name: "configuration missing", change: remove(configurationFile), want: "config.json: "},
	{name: "configuration cut off", change: file(configurationFile, `{"model_type": "gpt2",`), want: "config.json: unexpected end of JSON input"},
	{name: "configuration of null", change: file(configurationFile, `null`), want: "config.json: null"},
	{name: "configuration is a list", change: file(configurationFile, `[1]`), want: "config.json"},
	{name: "configuration of megabytes", change: file(configurationFile, strings.Repeat(" ", int(modelfiles.MaxSize(configurationFile))+1)), want: "config.json: larger than 1048576 bytes"},
	{name: "configuration with a name twice", change: file(configurationFile, `{"model_type":"gpt2","n_layer":2,"n_layer":2}`), want: `config.json: "n_layer" occurs twice`},
	{name: "configuration with a name twice, escaped", change: file(configurationFile, `{"model_type":"gpt2","n_layer":2,"n\u005flayer":2}`), want: `config.json: "n_layer" occurs twice`},
	{name: "configuration with half a surrogate pair", change: file(configurationFile, `{"model_type":"gpt2","\ud800":2}`), want: `config.json: \ud800 is half of a surrogate pair`},
	{name: "configuration not UTF-8", change: file(configurationFile, "{\"model_type\":\"gpt2\",\"\xff\":2}"), want: "config.json: not UTF-8"},
	{name: "generation configuration cut off", change: file(generationFile, `{`), want: "generation_config.json"},
	{name: "weights missing", change: remove(weightsFile), want: "model.safetensors: missing"},
	{name: "weights pickled", change: func(t testing.TB, m *testModel) {
		remove(weightsFile)(t, m)
		m.files["pytorch_model.bin"] = "PK"
	}, want: "pickled weights (pytorch_model.bin) can run code"},
	{name: "weights empty", change: file(weightsFile, ""), want: "model.safetensors: 0 bytes are too few"},
	{name: "weights cut off", change: func(t testing.TB, m *testModel) {
		weights, err := os.ReadFile(filepath.Join(m.write(t), weightsFile))
		if err != nil {
			t.Fatal(err)
		}
		m.files[weightsFile] = string(weights[:len(weights)-1])
	}, want: "model.safetensors: tensor "},
	{name: "weights overlapping", change: file(weightsFile, string(safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}}`, 7))), want: "model.safetensors: tensor b: begins at byte 3, where tensor a ends only at 4"},
	{name: "weights oversized", change: file(weightsFile, string(safetensorsFile(`{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}`, 8))), want: "model.safetensors: tensor a: bytes 0 to 4398046511104 of 8"},

	{name: "index cut off", change: index(`{"weight_map":`), want: "model.safetensors.index.json"},
	{name: "index without map", change: index(`{}`), want: "model.safetensors.index.json: weight_map is missing or empty"},
	{name: "index with its map's name folded", change: index(`{"Weight_Map":{"wte.weight":"model-1.safetensors"}}`), want: "model.safetensors.index.json: weight_map is missing or empty"},
	{name: "index with a tensor twice", change: index(`{"weight_map":{"wte.weight":"model-1.safetensors","wte.weight":"model-2.safetensors"}}`), want: `model.safetensors.index.json: "wte.weight" occurs twice`},
	{name: "shard missing", change: index(`{"weight_map":{"wte.weight":"model-1.safetensors"}}`), want: "model-1.safetensors: "},
	{name: "shard above", change: index(`{"weight_map":{"wte.weight":"../model.safetensors"}}`), want: `"../model.safetensors" is not the name of a file beside the index`},
	{name: "shard above, other slash", change: index(`{"weight_map":{"wte.weight":"..\\model.safetensors"}}`), want: "is not the name of a file beside the index"},
	{name: "shard absolute", change: index(`{"weight_map":{"wte.weight":"/etc/passwd"}}`), want: `tensor wte.weight: "/etc/passwd" is not the name of a file beside the index`},
	{name: "shard is the directory", change: index(`{"weight_map":{"wte.weight":"."}}`), want: "is not the name of a file beside the index"},
	{name: "shard without name", change: index(`{"weight_map":{"wte.weight":""}}`), want: "is not the name of a file beside the index"},
	{name: "shard lacks a tensor", change: func(t testing.TB, m *testModel) {
		weights, err := os.ReadFile(filepath.Join(m.write(t), weightsFile))
		if err != nil {
			t.Fatal(err)
		}
		index(`{"weight_map":{"wte.weight":"model-1.safetensors","h.9.ln_1.bias":"model-1.safetensors"}}`)(t, m)
		m.files["model-1.safetensors"] = string(weights)
	}, want: "model.safetensors.index.json: tensor h.9.ln_1.bias: missing in model-1.safetensors"},
	{name: "tensor in two shards", change: func(t testing.TB, m *testModel) {
		weights, err := os.ReadFile(filepath.Join(m.write(t), weightsFile))
		if err != nil {
			t.Fatal(err)
		}
		index(`{"weight_map":{"wte.weight":"model-1.safetensors","wpe.weight":"model-2.safetensors"}}`)(t, m)
		m.files["model-1.safetensors"], m.files["model-2.safetensors"] = string(weights), string(weights)
	}, want: "also in model-1.safetensors"},

	{name: "vocabulary missing", change: remove("vocab.json"), want: "vocab.json"},
	{name: "merges missing", change: remove("merges.txt"), want: "merges.txt"},
	{name: "vocabulary of no JSON", change: file("vocab.json", "\x89x"), want: "vocab.json: not UTF-8"},
	{name: "vocabulary with a hole", change: func(t testing.TB, m *testModel) {
		m.files["vocab.json"] = strings.Replace(m.files["vocab.json"], ": 280", ": 299999", 1)
	}, want: "vocab.json"},
	{name: "merge of an unknown token", change: func(t testing.TB, m *testModel) {
		m.files["merges.txt"] += "zz zz\n"
	}, want: "merges.txt"},
	{name: "vocabulary larger than the model's", change: func(t testing.TB, m *testModel) {
		m.config["vocab_size"] = 299
		m.reshape(t, "wte.weight", 299, 24)
	}, want: "vocab_size 299"},
}

func drop(name string) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) { delete(m.tensors, name) }
}

func add(name string) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) { m.set(t, name, safetensors.F32, []uint64{2}, make([]byte, 8)) }
}

func reshape(name string, shape ...uint64) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) { m.reshape(t, name, shape...) }
}

func retype(name string, dtype safetensors.DType) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) {
		m.set(t, name, dtype, m.tensors[name].Shape(), m.tensors[name].Data())
	}
}

func put(name string, at int, element ...byte) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) { m.put(t, name, at, element...) }
}

func set(name string, value any) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) { m.config[name] = value }
}

func file(name, content string) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) { m.files[name] = content }
}

// remove leaves a file out.
func remove(name string) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) { m.files[name] = absent }
}

// index puts an index in the place of the weights.
func index(content string) func(testing.TB, *testModel) {
	return func(t testing.TB, m *testModel) {
		remove(weightsFile)(t, m)
		m.files[indexFile] = content
	}
}

func TestConvertRefuses(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			m := newTestModel(t, tiny)
			c.change(t, m)
			directory, target := m.write(t), filepath.Join(t.TempDir(), "new.tti")
			err := Convert(t.Context(), directory, target, Options{Mode: c.mode})
			if err == nil {
				t.Fatal("converted")
			}
			checkMessage(t, err, c.want)
			if entries, err := os.ReadDir(filepath.Dir(target)); err != nil || len(entries) != 0 {
				t.Errorf("left behind: %v, error %v", entries, err)
			}

			if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			if Convert(t.Context(), directory, target, Options{Mode: c.mode}) == nil {
				t.Fatal("converted over an existing target")
			}
			checkUntouched(t, target)
		})
	}
}

// What f16 cannot hold, the other modes can.
func TestConvertLargeWeights(t *testing.T) {
	m := newTestModel(t, tiny)
	put("h.0.attn.c_attn.weight", 2*72+70, 0, 0, 0x80, 0x47)(t, m)
	for _, mode := range []Mode{F32, Int8, Int4} {
		if err := Convert(t.Context(), m.write(t), filepath.Join(t.TempDir(), "new.tti"), Options{Mode: mode}); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestConvertRefusesSources(t *testing.T) {
	directory := newTestModel(t, tiny).write(t)
	for name, c := range map[string]struct{ source, want string }{
		"nothing there": {filepath.Join(t.TempDir(), "none"), "no such"},
		"a file":        {filepath.Join(directory, configurationFile), "is a file"},
		"empty":         {t.TempDir(), configurationFile},
	} {
		target := filepath.Join(t.TempDir(), "new.tti")
		err := Convert(t.Context(), c.source, target, Options{})
		if err == nil {
			t.Errorf("%s: converted", name)
			continue
		}
		checkMessage(t, err, c.want)
	}
	weights := filepath.Join(directory, weightsFile)
	if err := os.Remove(weights); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(weights, 0o777); err != nil {
		t.Fatal(err)
	}
	err := Convert(t.Context(), directory, filepath.Join(t.TempDir(), "new.tti"), Options{})
	if err == nil {
		t.Fatal("converted weights that are a directory")
	}
	checkMessage(t, err, "model.safetensors: not a regular file")
}

// TestSupportedWithoutWeights goes by what there is before the weights are downloaded.
func TestSupportedWithoutWeights(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t testing.TB, m *testModel)
		want   string // empty: supported
	}{
		"usual":                    {change: file("README.md", "")},
		"a head of its own":        {change: set("tie_word_embeddings", false)},
		"unknown type":             {set("model_type", "mamba"), `config.json: model_type "mamba" is not supported (supported: gpt2, llama, `},
		"unknown architecture":     {set("architectures", []string{"GPT2ForSequenceClassification"}), "config.json: architecture"},
		"unknown activation":       {set("activation_function", "swish"), `config.json: activation_function: "swish" is not supported`},
		"heads do not divide":      {set("n_head", 5), "config.json: n_embd 24 is not a multiple of n_head 5"},
		"generation cut off":       {file(generationFile, "{"), "generation_config.json: "},
		"unknown tokenizer":        {file("tokenizer_config.json", `{"tokenizer_class":"T5Tokenizer"}`), `tokenizer_config.json: tokenizer_class "T5Tokenizer" is not supported`},
		"vocabulary of other size": {set("vocab_size", 299), "vocab.json: 300 tokens, but config.json has vocab_size 299"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTestModel(t, tiny)
			c.change(t, m)
			m.files[weightsFile] = absent
			err := checkSupported(m.write(t))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && err == nil:
				t.Error("supported")
			case c.want != "":
				checkMessage(t, err, c.want)
			}
		})
	}
}

func TestConvertRefusesTargets(t *testing.T) {
	directory := newTestModel(t, tiny).write(t)
	parent := t.TempDir()
	readOnly := filepath.Join(parent, "read-only.tti")
	if err := os.WriteFile(readOnly, []byte("old"), 0o444); err != nil {
		t.Fatal(err)
	}
	before, err := json.Marshal(readTestModel(t, directory).files)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{
		parent,
		readOnly,
		filepath.Join(parent, "none", "new.tti"),
		filepath.Join(readOnly, "new.tti"),
		filepath.Join(directory, weightsFile),
		filepath.Join(directory, "vocab.json"),
		"",
	} {
		err := Convert(t.Context(), directory, target, Options{})
		if err == nil {
			t.Errorf("%q: converted", target)
			continue
		}
		checkMessage(t, err, target)
	}
	checkUntouched(t, readOnly)
	after, err := json.Marshal(readTestModel(t, directory).files)
	if err != nil || string(before) != string(after) {
		t.Errorf("the source has changed, error %v", err)
	}
}

// Files of an accepted index lie beside it.
func FuzzIndex(f *testing.F) {
	for _, text := range []string{
		`{"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`,
		`{"weight_map":{"a":"../x"}}`, `{"weight_map":{"a":"/x"}}`, `{"weight_map":{"a":"c:x"}}`, `{"weight_map":{"a":"x\u0000"}}`,
		`{"weight_map":{"a\n":"x"}}`, `{"weight_map":{"a":1}}`, `{"weight_map":null}`, `{"WEIGHT_MAP":{"a":"..."}}`, `[]`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		shards, _, err := parseIndex(text)
		if err != nil {
			checkMessage(t, err, "")
			return
		}
		for name, file := range shards {
			if path := filepath.Join("models", file); filepath.Dir(path) != "models" || strings.ContainsAny(file, "\x00\n\\/") {
				t.Errorf("tensor %q is in %q", name, file)
			}
		}
	})
}
