// Package huggingface says under which names, and turned which way, the model directories of HuggingFace keep the tensors
// of an architecture.
package huggingface

import "github.com/tti-llm/tti/format/architecture"

// Place is where a model directory keeps a tensor.
type Place struct {
	Name       string
	Transposed bool // a matrix [in, out]
}

// GPT2Prefix stands before all names but that of the head, as transformers writes them; older files lack it.
const GPT2Prefix = "transformer."

// GPT2 returns the place of a tensor in GPT2LMHeadModel, without the prefix: its name in the .tti file. The matrices of
// layers are what the original calls Conv1D.
func GPT2(t architecture.Tensor) Place {
	return Place{Name: t.Name, Transposed: t.IsMatrix() && t.Layer >= 0}
}

// Shape returns the shape that a tensor has in its place.
func (p Place) Shape(t architecture.Tensor) []int {
	if p.Transposed {
		return []int{t.Shape[1], t.Shape[0]}
	}
	return t.Shape
}
