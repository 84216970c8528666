package synthetic

import (
	"math"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/convert/safetensors"
	"github.com/tti-llm/tti/format/architecture"
)

// Decoder is a model of a family that follows Llama, with weights in bfloat16 and a tied head.
type Decoder struct {
	// Config has what the sizes do not say of config.json, model_type among it.
	Config map[string]any
	// Sizes are the hyper-parameters that tensors depend on.
	Sizes architecture.Decoder
	Seed  uint64
}

// The sizes of released models, by their config.json.
var (
	smolLM2 = Decoder{ // 135 million parameters
		Config: map[string]any{"model_type": "llama", "rms_norm_eps": 1e-5, "rope_theta": 100000},
		Sizes: architecture.Decoder{
			Vocabulary: 49152, Context: 8192, Embedding: 576, Layers: layers(30), Heads: 9, KVHeads: 3, HeadWidth: 64, Hidden: 1536, InputNorms: true,
			QueryKeyNorm: architecture.NoNorm,
		},
	}
	qwen3 = Decoder{ // 596 million
		Config: map[string]any{"model_type": "qwen3", "rms_norm_eps": 1e-6, "rope_theta": 1000000},
		Sizes: architecture.Decoder{
			Vocabulary: 151936, Context: 40960, Embedding: 1024, Layers: layers(28), Heads: 16, KVHeads: 8, HeadWidth: 128, Hidden: 3072, InputNorms: true,
			QueryKeyNorm: architecture.PerHead,
		},
	}
	llama3 = Decoder{ // Llama 3.2, 1,236 million
		Config: map[string]any{"model_type": "llama", "rms_norm_eps": 1e-5, "rope_theta": 500000, "rope_scaling": map[string]any{
			"rope_type": "llama3", "factor": 32, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192,
		}},
		Sizes: architecture.Decoder{
			Vocabulary: 128256, Context: 131072, Embedding: 2048, Layers: layers(16), Heads: 32, KVHeads: 8, HeadWidth: 64, Hidden: 8192, InputNorms: true,
			QueryKeyNorm: architecture.NoNorm,
		},
	}
	gemma3 = Decoder{ // 268 million
		Config: map[string]any{"model_type": "gemma3_text", "rms_norm_eps": 1e-6, "rope_theta": 1000000, "rope_local_base_freq": 10000,
			"query_pre_attn_scalar": 256, "sliding_window": 512, "sliding_window_pattern": 6},
		Sizes: architecture.Decoder{
			Vocabulary: 262144, Context: 32768, Embedding: 640, Layers: layers(18), Heads: 4, KVHeads: 1, HeadWidth: 256, Hidden: 2048, InputNorms: true,
			OutputNorms: true, QueryKeyNorm: architecture.PerHead, NormOffset: 1,
		},
	}
)

func layers(n int) []architecture.DecoderLayer { return make([]architecture.DecoderLayer, n) }

func (d Decoder) directory() (directory, error) {
	h := d.Sizes
	h.TiedHead = true
	config := map[string]any{
		"vocab_size": h.Vocabulary, "max_position_embeddings": h.Context, "hidden_size": h.Embedding, "num_hidden_layers": len(h.Layers),
		"num_attention_heads": h.Heads, "num_key_value_heads": h.KVHeads, "head_dim": h.HeadWidth, "intermediate_size": h.Hidden,
		"tie_word_embeddings": true, "torch_dtype": "bfloat16", "bos_token_id": h.Vocabulary - 1, "eos_token_id": h.Vocabulary - 1,
	}
	for name, value := range d.Config {
		config[name] = value
	}
	return directory{config: config, vocabulary: h.Vocabulary, tensors: decoderTensors(&h), dtype: safetensors.BF16, seed: d.Seed}, nil
}

// decoderTensors lists the weights. Their deviations are those that Llama is initialized with; the weights of norms, there 1, or 0
// where 1 is added to them, vary too.
func decoderTensors(h *architecture.Decoder) (list []tensor) {
	for t := range h.Tensors() {
		place := huggingface.Decoder(h, false, t)
		for _, part := range place.Parts {
			w := tensor{name: part.Name, plain: part.Name, shape: place.Shape(t, part), deviation: 0.02}
			switch {
			case !t.IsMatrix() && !t.Bias:
				w.mean = 1 - h.NormOffset
			case t.Role == architecture.AttentionOutput || t.Role == architecture.Down: // what is added to the residual stream
				w.deviation /= math.Sqrt(float64(2 * len(h.Layers)))
			}
			if t.Role != architecture.Head {
				w.name = huggingface.DecoderPrefix + w.name
			}
			list = append(list, w)
		}
	}
	return list
}
