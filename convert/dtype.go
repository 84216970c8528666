package convert

import (
	"github.com/tti-llm/tti/convert/safetensors"
)

// DType is the type of the numbers in a model directory.
type DType string

const (
	DTypeF32 DType = "f32" // exact, whatever the mode of the file
	DTypeF16 DType = "f16" // exact where the weights are binary16 already, else rounded to nearest even

	DTypeBF16 DType = "bf16" // the same of bfloat16
)

// dtypes are the types of numbers as safetensors and as config.json name them.
var dtypes = map[DType]struct {
	safetensors.Type
	torch string
}{
	DTypeF32: {safetensors.F32, "float32"},
	DTypeF16: {safetensors.F16, "float16"},

	DTypeBF16: {safetensors.BF16, "bfloat16"},
}
