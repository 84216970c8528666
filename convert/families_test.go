package convert

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

// familyModels are the directories of testdata/families, of every family one and some more.
var familyModels = []string{
	"llama", "llama-scaled", "llama-linear", "mistral", "qwen2", "qwen3", "phi3", "phi3-longrope", "smollm3", "gemma2", "gemma3", "granite", "olmo2",
}

func familyDirectory(name string) string { return filepath.Join("..", "testdata", "families", name) }

func familyDirectories() (directories []string) {
	for _, name := range familyModels {
		directories = append(directories, familyDirectory(name))
	}
	return directories
}

func encodedConfig(t testing.TB, m *testModel) []byte {
	t.Helper()
	text, err := json.Marshal(m.config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestFamiliesExport goes from source to f32 file to source: every tensor is there again under its name and with the bits
// that it had, what the configuration says is said again, and a file made from it is the same.
func TestFamiliesExport(t *testing.T) {
	dtypes := map[safetensors.DType]DType{safetensors.F32: DTypeF32, safetensors.F16: DTypeF16, safetensors.BF16: DTypeBF16}
	for _, name := range familyModels {
		t.Run(name, func(t *testing.T) {
			want := readTestModel(t, familyDirectory(name))
			dtype := DType("")
			for _, tensor := range want.tensors {
				dtype = dtypes[tensor.DType()]
			}
			file := there(t, familyDirectory(name), Options{Mode: F32})
			exported := back(t, file, ExportOptions{DType: dtype})
			got := readTestModel(t, exported)
			for name, tensor := range want.tensors {
				again := got.tensors[name]
				if again.DType() != tensor.DType() || !slices.Equal(again.Shape(), tensor.Shape()) || !bytes.Equal(again.Data(), tensor.Data()) {
					t.Errorf("%s is %v %v, or has other bits", name, again.DType(), again.Shape())
				}
			}
			if len(got.tensors) != len(want.tensors) {
				t.Errorf("%d tensors, want %d", len(got.tensors), len(want.tensors))
			}
			for key, value := range want.config {
				if again, ok := got.config[key]; ok && value != nil && key != "rope_scaling" && !reflect.DeepEqual(again, value) {
					t.Errorf("config.json: %s is %v, was %v", key, again, value)
				}
			}
			sameModel(t, there(t, exported, Options{Mode: F32}), file)
		})
	}
}

// TestFamiliesDefaults compares what the smallest configuration of each family means with the defaults of transformers
// 4.57 and 5.0, as their configuration classes have them.
func TestFamiliesDefaults(t *testing.T) {
	for family, want := range map[string]string{
		"llama":       `{"vocab_size":32000,"context":2048,"embedding":4096,"heads":32,"kv_heads":32,"head_width":128,"hidden":11008,"rms_norm_epsilon":1e-6,"eos_token_id":2,"bos_token_id":1}`,
		"mistral":     `{"vocab_size":32000,"context":131072,"embedding":4096,"heads":32,"kv_heads":8,"head_width":128,"hidden":14336,"rms_norm_epsilon":1e-6,"eos_token_id":2,"bos_token_id":1}`,
		"qwen2":       `{"vocab_size":151936,"context":32768,"embedding":4096,"heads":32,"kv_heads":32,"head_width":128,"hidden":22016,"rms_norm_epsilon":1e-6,"qkv_bias":true,"eos_token_id":null,"bos_token_id":null}`,
		"qwen3":       `{"vocab_size":151936,"context":32768,"embedding":4096,"heads":32,"kv_heads":32,"head_width":128,"hidden":22016,"rms_norm_epsilon":1e-6,"query_key_norm":"head","qkv_bias":false}`,
		"phi3":        `{"vocab_size":32064,"context":4096,"embedding":3072,"heads":32,"kv_heads":32,"head_width":96,"hidden":8192,"rms_norm_epsilon":1e-5,"eos_token_id":32000,"bos_token_id":1}`,
		"smollm3":     `{"vocab_size":128256,"context":32768,"embedding":2048,"heads":16,"kv_heads":4,"head_width":128,"hidden":11008,"rms_norm_epsilon":1e-6,"eos_token_id":128001,"bos_token_id":128000}`,
		"gemma2":      `{"vocab_size":256000,"context":8192,"embedding":2304,"heads":8,"kv_heads":4,"head_width":256,"hidden":9216,"attention_cap":50,"logit_cap":30,"attention_multiplier":0.0625,"embedding_multiplier":48,"activation":"gelu_new"}`,
		"gemma3_text": `{"vocab_size":262208,"context":131072,"embedding":2304,"heads":8,"kv_heads":4,"head_width":256,"hidden":9216,"attention_cap":0,"logit_cap":0,"query_key_norm":"head","norm_offset":1}`,
		"granite":     `{"vocab_size":32000,"context":2048,"embedding":4096,"heads":32,"kv_heads":32,"hidden":11008,"attention_multiplier":1,"embedding_multiplier":1,"residual_multiplier":1,"logit_divisor":1}`,
		"olmo2":       `{"vocab_size":50304,"context":2048,"embedding":4096,"heads":32,"kv_heads":32,"hidden":11008,"rms_norm_epsilon":1e-5,"input_norms":false,"output_norms":true,"query_key_norm":"all","eos_token_id":50279,"bos_token_id":null}`,
	} {
		c, err := parseConfig([]byte(`{"model_type":"` + family + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		f, err := findFamily(c)
		if err != nil {
			t.Fatal(err)
		}
		h := f.(decoder).hyperparameters(c)
		if c.err != nil || h.Validate() != nil {
			t.Fatalf("%s: %v, %v", family, c.err, h.Validate())
		}
		var wanted, got map[string]any
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encoded(t, h), &got); err != nil {
			t.Fatal(err)
		}
		for key, value := range wanted {
			if !reflect.DeepEqual(got[key], value) {
				t.Errorf("%s: %s is %v, want %v", family, key, got[key], value)
			}
		}
	}
}
