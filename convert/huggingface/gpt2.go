package huggingface

import "github.com/tti-llm/tti/format/architecture"

// GPT2Prefix stands before all names but that of the head, as transformers writes them; older files lack it.
const GPT2Prefix = "transformer."

// GPT2 returns the place of a tensor in GPT2LMHeadModel, without the prefix: its name in the .tti file. The matrices of
// layers are what the original calls Conv1D.
func GPT2(t architecture.Tensor) Place {
	return Place{Parts: []Part{{t.Name, t.Shape[0]}}, Transposed: t.IsMatrix() && t.Layer >= 0}
}
