package convert

import (
	"fmt"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
)

// Mode says how the weight matrices of a model are encoded. Biases, layer norms and position
// embeddings stay float32 in every mode.
type Mode string

const (
	F32  Mode = "f32"
	F16  Mode = "f16"
	Int8 Mode = "int8" // every matrix, the token embedding too
	Int4 Mode = "int4" // the matrices of the scope; the others int8
)

// Scope says which matrices mode Int4 encodes as int4.
type Scope string

const (
	MLP    Scope = "mlp"    // the default
	Blocks Scope = "blocks" // attention and MLP
	All    Scope = "all"    // the token embedding and output head too
)

// kind is what decides the encoding of a tensor, with the mode.
type kind int

const (
	vector    kind = iota // whatever is not multiplied as a matrix
	embedding             // token embedding and output head
	attention
	mlp
	kinds
)

func kindOf(t architecture.Tensor) kind {
	if !t.IsMatrix() {
		return vector
	}
	switch t.Role {
	case architecture.QKV, architecture.AttentionOutput:
		return attention
	case architecture.Up, architecture.Down:
		return mlp
	}
	return embedding
}

// encodings has one line for every way to convert, keyed by the name that is written to the file.
var encodings = map[string][kinds]format.Encoding{
	"f32":         {vector: format.Float32, embedding: format.PanelF32, attention: format.PanelF32, mlp: format.PanelF32},
	"f16":         {vector: format.Float32, embedding: format.PanelF16, attention: format.PanelF16, mlp: format.PanelF16},
	"int8":        {vector: format.Float32, embedding: format.PanelInt8, attention: format.PanelInt8, mlp: format.PanelInt8},
	"int4":        {vector: format.Float32, embedding: format.PanelInt8, attention: format.PanelInt8, mlp: format.PanelInt4},
	"int4-blocks": {vector: format.Float32, embedding: format.PanelInt8, attention: format.PanelInt4, mlp: format.PanelInt4},
	"int4-all":    {vector: format.Float32, embedding: format.PanelInt4, attention: format.PanelInt4, mlp: format.PanelInt4},
}

// modeName returns the name of a mode and scope in the file: "f32", "int8", "int4", "int4-all", ...
// An empty mode is int8, an empty scope mlp; a scope belongs to int4 only.
func modeName(mode Mode, scope Scope) (string, error) {
	if mode == "" {
		mode = Int8
	}
	name := string(mode)
	switch {
	case scope == "" || mode == Int4 && scope == MLP:
	case mode == Int4:
		name += "-" + string(scope)
	default:
		return "", fmt.Errorf("int4 scope %q given with mode %q", scope, mode)
	}
	if _, ok := encodings[name]; !ok || mode == "int4-blocks" || mode == "int4-all" {
		return "", fmt.Errorf("unknown mode %q or int4 scope %q (modes: f32, f16, int8, int4; scopes: mlp, blocks, all)", mode, scope)
	}
	return name, nil
}
