// Package huggingface says under which names, in which parts and turned which way the model directories of HuggingFace keep
// the tensors of an architecture.
package huggingface

import "github.com/tti-llm/tti/format/architecture"

// Place is where a model directory keeps a tensor.
type Place struct {
	Parts      []Part // which follow one another in the tensor; none for what a model directory does not keep
	Transposed bool   // the only part is a matrix [in, out]
}

// Part is a tensor of a model directory.
type Part struct {
	Name string
	Rows int // as many elements of the first dimension
}

// Shape returns the shape of a part of a tensor.
func (p Place) Shape(t architecture.Tensor, part Part) []int {
	if p.Transposed {
		return []int{t.Shape[1], t.Shape[0]}
	}
	return append([]int{part.Rows}, t.Shape[1:]...)
}
