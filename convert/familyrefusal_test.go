package convert

import (
	"encoding/json"
	"fmt"
	"maps"

	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

// familyRefusals are changes to models of testdata/families with which they must not be converted, and what the error names.
var familyRefusals = []struct {
	family, name string
	change       func(t testing.TB, m *testModel)
	mode         Mode
	want         string
}{
	// What is not implemented.
	{family: "llama", name: "dynamic rope", change: set("rope_scaling", object{"type": "dynamic", "factor": 2}), want: `rope_scaling.rope_type: "\"dynamic\"" is not supported (supported: default, linear, llama3, yarn, longrope)`},
	{family: "llama-scaled", name: "unknown rope", change: set("rope_parameters", object{"rope_type": "proportional", "rope_theta": 1e4}), want: "rope_parameters.rope_type: "},
	{family: "llama", name: "rope without words", change: set("rope_scaling", object{"rope_type": 7}), want: "rope_scaling.rope_type: "},
	{family: "llama", name: "rope of sections", change: set("rope_scaling", object{"rope_type": "default", "mrope_section": []int{8, 12, 12}}), want: "rope_scaling.mrope_section: is not supported with rope_type default"},
	{family: "llama", name: "rope in a list", change: set("rope_scaling", []int{1}), want: `rope_scaling: found "[1]", want an object`},
	{family: "llama-scaled", name: "rope twice", change: set("rope_scaling", object{"type": "linear", "factor": 2}), want: "rope_scaling: given beside rope_parameters"},
	{family: "llama", name: "experts", change: set("num_local_experts", 8), want: `num_local_experts: "8" is not supported`},
	{family: "qwen3", name: "experts of Qwen", change: set("num_experts", 128), want: `num_experts: "128" is not supported`},
	{family: "mistral", name: "attention sinks", change: set("attention_sinks", true), want: "attention_sinks: "},
	{family: "llama", name: "quantized", change: set("quantization_config", object{"quant_method": "gptq"}), want: "quantization_config: "},
	{family: "gemma3", name: "both directions", change: set("use_bidirectional_attention", true), want: "use_bidirectional_attention: "},
	{family: "llama", name: "unknown activation", change: set("hidden_act", "relu2"), want: `hidden_act: "relu2" is not supported (supported: silu, `},
	{family: "gemma2", name: "unknown activation of Gemma", change: set("hidden_activation", "relu2"), want: `hidden_activation: "relu2" is not supported`},
	{family: "qwen2", name: "unknown attention", change: set("layer_types", []string{"full_attention", "full_attention", "linear_attention", "full_attention"}), want: `layer_types: "linear_attention" is not supported`},
	{family: "qwen3", name: "mixture of experts", change: set("model_type", "qwen3_moe"), want: `model_type "qwen3_moe" is not supported`},
	{family: "llama", name: "classifier", change: set("architectures", []string{"LlamaForSequenceClassification"}), want: `architecture "LlamaForSequenceClassification" is not supported (of llama: LlamaForCausalLM, LlamaModel)`},

	// Configurations that contradict themselves.
	{family: "llama", name: "heads do not divide", change: set("num_key_value_heads", 4), want: "heads 6 are not a multiple of kv_heads 4"},
	{family: "llama-scaled", name: "width does not divide", change: set("num_attention_heads", 6), want: "hidden_size: 128 is not a multiple of num_attention_heads 6"},
	{family: "qwen2", name: "layer_types too short", change: set("layer_types", []string{"full_attention"}), want: "layer_types: has 1 entries, num_hidden_layers is 4"},
	{family: "mistral", name: "layer_types contradict", change: set("layer_types", []string{"full_attention", "full_attention", "full_attention"}), want: "layer_types: layer 0 contradicts sliding_window"},
	{family: "llama", name: "layer_types of windows", change: set("layer_types", []string{"full_attention", "sliding_attention", "full_attention"}), want: "layer_types: layer 1 contradicts sliding_window"},
	{family: "qwen3", name: "windows without width", change: set("layer_types", []string{"full_attention", "sliding_attention", "full_attention"}), want: "layer_types: asks for a window in layer 1, and no sliding_window is given"},
	{family: "smollm3", name: "no_rope_layers too short", change: set("no_rope_layers", []int{1, 0}), want: "no_rope_layers: has 2 entries, num_hidden_layers is 4"},
	{family: "smollm3", name: "no_rope_layers in words", change: set("no_rope_layers", "none"), want: "no_rope_layers: found"},
	{family: "phi3-longrope", name: "factors too few", change: set("rope_scaling", object{"type": "longrope", "short_factor": []int{1}, "long_factor": []int{2}}), want: "rope_scaling.short_factor: has 1 entries, want one for each of 8 pairs"},
	{family: "phi3-longrope", name: "factors missing", change: set("rope_scaling", object{"type": "longrope"}), want: "rope_scaling.short_factor: missing"},
	{family: "phi3-longrope", name: "negative factors", change: set("rope_scaling", object{"type": "longrope", "short_factor": []int{-1, 1, 1, 1, 1, 1, 1, 1}, "long_factor": []int{1, 1, 1, 1, 1, 1, 1, 1}}), want: "rope_scaling.short_factor: found"},
	{family: "phi3", name: "odd part", change: set("partial_rotary_factor", 0.15), want: "partial_rotary_factor: 0.15 of head_dim 48 makes no even number of dimensions"},
	{family: "phi3", name: "part above the whole", change: set("partial_rotary_factor", 1.5), want: "partial_rotary_factor: 1.5"},
	{family: "llama-linear", name: "factor missing", change: set("rope_scaling", object{"type": "linear"}), want: "rope_scaling.factor: missing"},
	{family: "llama-linear", name: "factor of zero", change: set("rope_scaling", object{"type": "linear", "factor": 0}), want: "rope_scaling.factor: found"},
	{family: "llama-scaled", name: "frequencies crossed", change: set("rope_parameters", object{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1, "original_max_position_embeddings": 64}), want: "rope_parameters.low_freq_factor: 4 is not below high_freq_factor 1"},
	{family: "llama", name: "yarn crossed", change: set("rope_scaling", object{"type": "yarn", "factor": 4, "beta_fast": 1, "beta_slow": 32}), want: "rope_scaling.beta_fast: 1 is below beta_slow 32"},
	{family: "llama", name: "base of one", change: set("rope_theta", 1), want: "rope_theta: found"},
	{family: "llama", name: "epsilon of zero", change: set("rms_norm_eps", 0), want: "rms_norm_eps: found"},
	{family: "granite", name: "division by zero", change: set("logits_scaling", 0), want: "logits_scaling: found"},
	{family: "granite", name: "multiplier in words", change: set("residual_multiplier", "much"), want: "residual_multiplier: found"},
	{family: "gemma2", name: "negative cap", change: set("final_logit_softcapping", -30), want: "final_logit_softcapping: found"},
	{family: "gemma2", name: "negative scalar", change: set("query_pre_attn_scalar", -1), want: "query_pre_attn_scalar: found"},
	{family: "mistral", name: "window of zero", change: set("sliding_window", 0), want: "sliding_window: found"},
	{family: "llama", name: "absurdly many layers", change: set("num_hidden_layers", 2147483647), want: "num_hidden_layers: 2147483647, at most 1024 are supported"},
	{family: "llama", name: "absurdly many heads", change: set("num_attention_heads", 2147483646), want: "heads 2147483646"},
	{family: "llama", name: "absurdly wide", change: set("intermediate_size", 2147483647), want: "hidden is 2147483647"},

	// Tensors that are not what the configuration says.
	{family: "llama", name: "tensor missing", change: drop("model.layers.2.self_attn.v_proj.weight"), want: "tensor layers.2.self_attn.v_proj.weight: missing, the configuration asks for it with shape [64 120]"},
	{family: "llama", name: "bias missing", change: drop("model.layers.1.mlp.up_proj.bias"), want: "tensor layers.1.mlp.up_proj.bias: missing"},
	{family: "qwen3", name: "norm missing", change: drop("model.layers.0.self_attn.k_norm.weight"), want: "tensor layers.0.self_attn.k_norm.weight: missing, the configuration asks for it with shape [40]"},
	{family: "gemma2", name: "output norm missing", change: drop("model.layers.3.post_feedforward_layernorm.weight"), want: "tensor layers.3.post_feedforward_layernorm.weight: missing"},
	{family: "phi3", name: "fused matrix missing", change: drop("model.layers.0.mlp.gate_up_proj.weight"), want: "tensor layers.0.mlp.gate_up_proj.weight: missing, the configuration asks for it with shape [304 144]"},
	{family: "llama-scaled", name: "head missing", change: drop("lm_head.weight"), want: "tie_word_embeddings is false, but tensor lm_head.weight is missing"},
	{family: "llama", name: "bias too many", change: add("model.layers.0.self_attn.q_proj.bias"), want: "tensor model.layers.0.self_attn.q_proj.bias: unknown, or more than the configuration asks for"},
	{family: "olmo2", name: "norm too many", change: add("model.layers.0.input_layernorm.weight"), want: "tensor model.layers.0.input_layernorm.weight: unknown"},
	{family: "llama", name: "layers too many", change: set("num_hidden_layers", 2), want: "tensor model.layers.2.input_layernorm.weight: unknown"},
	{family: "llama", name: "layers too few", change: set("num_hidden_layers", 4), want: "tensor layers.3.input_layernorm.weight: missing"},
	{family: "granite", name: "matrix misshaped", change: reshape("model.layers.0.self_attn.k_proj.weight", 64, 160), want: "tensor model.layers.0.self_attn.k_proj.weight: shape [64 160], the configuration asks for [32 160]"},
	{family: "olmo2", name: "norm misshaped", change: reshape("model.layers.0.self_attn.q_norm.weight", 32), want: "tensor model.layers.0.self_attn.q_norm.weight: shape [32], the configuration asks for [128]"},
	{family: "smollm3", name: "weights of integers", change: retype("model.norm.weight", safetensors.I16), want: "tensor model.norm.weight: type I16 is not supported"},
	{family: "qwen2", name: "NaN in the middle part", change: put("model.layers.1.self_attn.k_proj.weight", 5*128+3, 0xc0, 0x7f), want: "tensor model.layers.1.self_attn.k_proj.weight: value NaN at [5 3] is not finite"},
	{family: "qwen2", name: "NaN in the last part of a bias", change: put("model.layers.1.self_attn.v_proj.bias", 7, 0xc0, 0x7f), want: "tensor model.layers.1.self_attn.v_proj.bias: value NaN at [7] is not finite"},
	{family: "llama-scaled", name: "beyond binary16", mode: F16, change: put("model.layers.0.mlp.up_proj.weight", 9*128+1, 0x80, 0x47), want: "tensor model.layers.0.mlp.up_proj.weight: value 65536 at [9 1] is too large for f16"},
}

type object = map[string]any

func TestFamiliesRefuse(t *testing.T) {
	for _, c := range familyRefusals {
		t.Run(c.family+" "+c.name, func(t *testing.T) {
			m := readTestModel(t, familyDirectory(c.family))
			c.change(t, m)
			target := filepath.Join(t.TempDir(), "new.tti")
			err := Convert(t.Context(), m.write(t), target, Options{Mode: c.mode, NoSync: true})
			if err == nil {
				t.Fatal("converted")
			}
			checkMessage(t, err, c.want)
		})
	}
}

// TestFamiliesConfig has configurations that mean the same as those of testdata/families, or what the other version of
// transformers calls so, and some that mean something else.
func TestFamiliesConfig(t *testing.T) {
	windows := func(list ...int) func(*testing.T, object) {
		return func(t *testing.T, h object) {
			var got []int
			for _, layer := range h["layers"].([]any) {
				got = append(got, int(layer.(object)["window"].(float64)))
			}
			if !reflect.DeepEqual(got, list) {
				t.Errorf("windows %v, want %v", got, list)
			}
		}
	}
	rotary := func(list ...any) func(*testing.T, object) {
		return func(t *testing.T, h object) {
			var got []any
			for _, layer := range h["layers"].([]any) {
				got = append(got, layer.(object)["rotary"])
			}
			if !reflect.DeepEqual(got, list) {
				t.Errorf("rotary embeddings %v, want %v", got, list)
			}
		}
	}
	same := func(*testing.T, object) {}
	for _, c := range []struct {
		family, name string
		change       object // nil deletes
		check        func(t *testing.T, h object)
	}{
		{"llama", "version 5", object{"rope_theta": nil, "rope_parameters": object{"rope_type": "default", "rope_theta": 10000.0}, "torch_dtype": nil, "dtype": "float16"}, same},
		{"llama", "default theta", object{"rope_theta": nil}, nil},
		{"llama", "theta beside rope_parameters", object{"rope_parameters": object{"rope_type": "default"}}, same},
		{"llama-scaled", "version 4", object{"rope_parameters": nil, "rope_theta": 10000.0, "rope_scaling": object{
			"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}, same},
		{"llama-linear", "rope_type", object{"rope_scaling": object{"rope_type": "linear", "factor": 2.5}}, same},
		{"mistral", "no window", object{"sliding_window": json.RawMessage("null")}, windows(0, 0, 0)},
		{"mistral", "default window", object{"sliding_window": nil}, windows(4096, 4096, 4096)},
		{"qwen2", "layer_types", object{"layer_types": []string{"full_attention", "full_attention", "sliding_attention", "sliding_attention"}}, same},
		{"qwen2", "other layer_types", object{"layer_types": []string{"sliding_attention", "full_attention", "full_attention", "sliding_attention"}}, windows(24, 0, 0, 24)},
		{"qwen2", "windows everywhere", object{"max_window_layers": 0}, windows(24, 24, 24, 24)},
		{"qwen2", "windows unused", object{"use_sliding_window": false}, windows(0, 0, 0, 0)},
		{"gemma2", "layer_types", object{"layer_types": []string{"sliding_attention", "full_attention", "sliding_attention", "full_attention"}}, same},
		{"gemma2", "no caps", object{"attn_logit_softcapping": json.RawMessage("null"), "final_logit_softcapping": json.RawMessage("null")}, func(t *testing.T, h object) {
			if h["attention_cap"] != 0.0 || h["logit_cap"] != 0.0 {
				t.Errorf("caps %v and %v", h["attention_cap"], h["logit_cap"])
			}
		}},
		{"gemma3", "version 5", object{
			"rope_theta": nil, "rope_local_base_freq": nil, "sliding_window_pattern": nil, "rope_scaling": nil,
			"layer_types": strings.Split("sliding_attention sliding_attention sliding_attention sliding_attention sliding_attention full_attention sliding_attention", " "),
			"rope_parameters": object{
				"full_attention":    object{"rope_type": "default", "rope_theta": 1000000.0},
				"sliding_attention": object{"rope_type": "default", "rope_theta": 10000.0},
			},
		}, same},
		{"gemma3", "other pattern", object{"sliding_window_pattern": 2}, rotary(1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0)},
		{"gemma3", "scaled", object{"rope_scaling": object{"rope_type": "linear", "factor": 8.0}}, func(t *testing.T, h object) {
			text, _ := json.Marshal(h["rotary"])
			if want := `"factor":8`; strings.Count(string(text), want) != 1 {
				t.Errorf("rotary embeddings %s, want one with %s", text, want)
			}
		}},
		{"smollm3", "interval", object{"no_rope_layers": nil}, rotary(0.0, 0.0, 0.0, nil)},
		{"phi3-longrope", "as su", object{"rope_scaling": readTestModel(t, familyDirectory("phi3-longrope")).config["rope_scaling"].(object), "x": 1}, same},
		{"granite", "no multipliers", object{"embedding_multiplier": nil, "residual_multiplier": nil, "attention_multiplier": nil, "logits_scaling": nil}, func(t *testing.T, h object) {
			for _, name := range []string{"embedding_multiplier", "attention_multiplier", "residual_multiplier", "logit_divisor"} {
				if h[name] != 1.0 {
					t.Errorf("%s is %v", name, h[name])
				}
			}
		}},
	} {
		t.Run(c.family+" "+c.name, func(t *testing.T) {
			m := readTestModel(t, familyDirectory(c.family))
			before := hyperparametersOf(t, m)
			for name, value := range c.change {
				if m.config[name] = value; value == nil {
					delete(m.config, name)
				}
			}
			after := hyperparametersOf(t, m)
			if c.check == nil {
				c.check = same
			}
			c.check(t, after)
			if reflect.ValueOf(c.check).Pointer() != reflect.ValueOf(same).Pointer() {
				return
			}
			if !reflect.DeepEqual(before, after) {
				t.Errorf("got  %v\nwant %v", after, before)
			}
		})
	}
}

// hyperparametersOf plans a model and returns its hyper-parameters.
func hyperparametersOf(t *testing.T, m *testModel) object {
	t.Helper()
	p, err := planOf(t, m.write(t))
	if err != nil {
		t.Fatal(err)
	}
	var h object
	if err := json.Unmarshal(encoded(t, p.hyperparameters), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestGemma3WithVision converts the text part of a model that also sees, under the names of both versions of transformers: it
// is the model that the part alone is, and what is left out is named.
func TestGemma3WithVision(t *testing.T) {
	alone := readTestModel(t, familyDirectory("gemma3"))
	want := there(t, alone.write(t), Options{Mode: F32})
	for _, prefix := range []string{"language_model.model.", "model.language_model."} {
		m := &testModel{tensors: map[string]safetensors.TensorView{}, files: maps.Clone(alone.files)}
		text := maps.Clone(alone.config)
		delete(text, "architectures")
		m.config = object{
			"model_type": "gemma3", "architectures": []string{"Gemma3ForConditionalGeneration"}, "text_config": text,
			"vision_config": object{"hidden_size": 8}, "eos_token_id": []int{511},
		}
		for name, tensor := range alone.tensors {
			m.tensors[prefix+strings.TrimPrefix(name, "model.")] = tensor
		}
		vision := strings.Replace(prefix, "language_model.", "vision_tower.", 1)
		m.set(t, strings.TrimSuffix(vision, "model.")+"encoder.weight", safetensors.F32, []uint64{2}, make([]byte, 8))
		var notices []string
		file := there(t, m.write(t), Options{Mode: F32, Notice: func(text string) { notices = append(notices, text) }})
		sameModel(t, file, want)
		if got := fmt.Sprint(notices); !strings.Contains(got, "vision_tower") || !strings.Contains(got, "1 tensor") || len(notices) != 1 {
			t.Errorf("notices %q", notices)
		}
	}
}

// TestYaRN compares frequencies with those of the paper's formulas, worked out by hand where they are simple: of 32 pairs those up
// to number 8 stay, those from 21 on are divided by 4, and what lies between fades.
func TestYaRN(t *testing.T) {
	m := readTestModel(t, familyDirectory("llama"))
	m.config["head_dim"], m.config["max_position_embeddings"] = 64, 8192
	m.config["rope_scaling"] = object{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 2048}
	text, err := json.Marshal(m.config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	h := llama.hyperparameters(c)
	values, err := frequencies(h)
	if err != nil || c.err != nil {
		t.Fatal(err, c.err)
	}
	if got, want := h.Rotary[0].Scale, 1.1386294361119891; got != want { // 0.1 ln 4 + 1
		t.Errorf("scale %v, want %v", got, want)
	}
	plain := map[int]float64{0: 1, 8: 0.1, 16: 0.01, 24: 0.001, 31: 0.00013335214321633240}
	share := map[int]float64{0: 1, 8: 1, 16: 1 - 8./13 + 8./13/4, 24: 0.25, 31: 0.25}
	for i, frequency := range plain {
		if got, want := values["rotary.0.frequencies"][i], float32(frequency*share[i]); got != want {
			t.Errorf("frequency %d is %v, want %v", i, got, want)
		}
	}
}
