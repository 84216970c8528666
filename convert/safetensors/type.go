package safetensors

import (
	"encoding/binary"
	"math"

	"github.com/tti-llm/tti/format/float16"
)

// Type is a type of numbers, by its name in a header.
type Type string

// The types that weights are written in.
const (
	F32  Type = "F32"
	F16  Type = "F16"
	BF16 Type = "BF16"
)

// types has the bytes of a number of each type and what writes it, rounded to the nearest, ties to
// even. put fails if a finite value would become infinite.
var types = map[Type]struct {
	size int
	put  func(dst []byte, x float32) bool
}{
	F32: {4, func(dst []byte, x float32) bool {
		binary.LittleEndian.PutUint32(dst, math.Float32bits(x))
		return true
	}},
	F16: {2, func(dst []byte, x float32) bool {
		half := float16.FromFloat32(x)
		binary.LittleEndian.PutUint16(dst, half)
		return !math.IsInf(float64(float16.ToFloat32(half)), 0)
	}},
	BF16: {2, func(dst []byte, x float32) bool {
		bits := math.Float32bits(x)
		if x != x {
			bits |= 1 << 22 // quiet: what makes it a NaN may lie in the lower half
		} else {
			bits += 0x7fff + bits>>16&1
		}
		binary.LittleEndian.PutUint16(dst, uint16(bits>>16))
		return !math.IsInf(float64(math.Float32frombits(bits&^0xffff)), 0)
	}},
}

// Size returns the bytes of a number, or 0 for a type that weights are not written in.
func (t Type) Size() int { return types[t].size }

// Encode writes values to dst, each rounded to the nearest number, ties to even, and returns how
// many: fewer than there are if the next one is too large for the type.
func (t Type) Encode(dst []byte, values []float32) int {
	element := types[t]
	for i, x := range values {
		if !element.put(dst[i*element.size:], x) {
			return i
		}
	}
	return len(values)
}
