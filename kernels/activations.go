package kernels

import (
	"fmt"

	"github.com/tti-llm/tti/format"
)

const (
	panelRows    = format.PanelRows
	groupColumns = format.GroupColumns
)

// Activations holds the activations of some tokens as matrix products read them: float32 rows, and the
// same rows quantized to int8 in groups of 64 for the integer encodings.
type Activations struct {
	Tokens  int
	Columns int // padded to a multiple of 64

	Values []float32 // [Tokens, Columns]; columns of padding are zero
	Codes  []int8    // [Tokens, Columns]
	Scales []float32 // [Tokens, Columns/64]
	Sums   []int32   // [Tokens, Columns/64]: the sum of a group's codes
}

// NewActivations returns Activations with room for up to tokens rows of columns values.
func NewActivations(tokens, columns int) *Activations {
	padded := format.PaddedColumns(columns)
	return &Activations{
		Tokens:  tokens,
		Columns: padded,
		Values:  wholeLines[float32](tokens * padded),
		Codes:   wholeLines[int8](tokens * padded),
		Scales:  wholeLines[float32](tokens * padded / groupColumns),
		Sums:    wholeLines[int32](tokens * padded / groupColumns),
	}
}

// wholeLines returns a slice in cache lines of its own, as Go's allocator gives them to what fills whole lines: the threads
// of a pass must not take turns at one.
func wholeLines[T int8 | int32 | float32](n int) []T { return make([]T, n, (n+63)/64*64) }

// Row returns the values of token t, padding included.
func (x *Activations) Row(t int) []float32 {
	return x.Values[t*x.Columns : (t+1)*x.Columns : (t+1)*x.Columns]
}

// Resize sets the number of tokens and columns without allocating. It panics if there is no room.
func (x *Activations) Resize(tokens, columns int) {
	padded := format.PaddedColumns(columns)
	if tokens < 0 || tokens*padded > cap(x.Values) {
		panic(fmt.Sprintf("kernels: input of %d values cannot hold [%d, %d]", cap(x.Values), tokens, padded))
	}
	x.Tokens, x.Columns = tokens, padded
	x.Values = x.Values[:tokens*padded]
	x.Codes = x.Codes[:tokens*padded]
	x.Scales = x.Scales[:tokens*padded/groupColumns]
	x.Sums = x.Sums[:tokens*padded/groupColumns]
}

// CopyCodes copies what integer products see of tokens first <= t < last of from, codes, scales and sums, to the tokens of
// x from number at on. Both have the same columns.
func (x *Activations) CopyCodes(at int, from *Activations, first, last int) {
	groups := x.Columns / groupColumns
	copy(x.Codes[at*x.Columns:], from.Codes[first*x.Columns:last*x.Columns])
	copy(x.Scales[at*groups:], from.Scales[first*groups:last*groups])
	copy(x.Sums[at*groups:], from.Sums[first*groups:last*groups])
}
