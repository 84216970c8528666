package kernels

import (
	"unsafe"

	"github.com/tti-llm/tti/quant"
)

// A multiplyKernel is a generated function. It multiplies consecutive tiles of panels with its own
// number of tokens. All pointers are to the first panel or token; outStride is in bytes; scales are
// the weights' (float32 per row of int8, binary16 per row and group of int4).
type multiplyKernel func(codes, scales, x *byte, xScales *float32, xSums *int32, bias, out *float32, outStride, groups, tiles uintptr)

// A tile is the pair of kernels for some number of tokens: one takes several panels at once, the
// other the panels that are left.
type tile struct {
	panels                int
	multiply, multiplyOne multiplyKernel
}

// panelBlockBytes is about how much of the weights all tokens pass through before the next panels
// are touched: it stays in the second-level cache.
const panelBlockBytes = 256 << 10

// matMulTiles returns the matrix product by the kernels for 1, 2, 3, ... tokens.
func matMulTiles(tiles []tile) matMulKernel {
	return func(out []float32, stride int, w *quant.Matrix, x *Input, bias []float32, first, last int) {
		blocks := (x.Tokens + len(tiles) - 1) / len(tiles)
		step := last - first
		if blocks > 1 {
			step = panelBlock(w)
		}
		for p := first; p < last; p += step {
			end := min(p+step, last)
			for b := range blocks { // tokens in blocks whose sizes differ by at most one
				from, to := b*x.Tokens/blocks, (b+1)*x.Tokens/blocks
				multiplyBlock(&tiles[to-from-1], out, stride, w, x, bias, p, end, from)
			}
		}
	}
}

// panelBlock returns how many panels of w a block has, a multiple of what tiles take at once.
func panelBlock(w *quant.Matrix) int {
	const multiple = 8
	return max(multiple, panelBlockBytes/w.PanelBytes()/multiple*multiple)
}

// multiplyBlock multiplies panels first <= p < last with the tokens of one tile.
func multiplyBlock(t *tile, out []float32, stride int, w *quant.Matrix, x *Input, bias []float32, first, last, token int) {
	if whole := (last - first) / t.panels; whole > 0 {
		multiplyPanels(t.multiply, out, stride, w, x, bias, first, whole, token)
		first += whole * t.panels
	}
	if first < last {
		multiplyPanels(t.multiplyOne, out, stride, w, x, bias, first, last-first, token)
	}
}

// multiplyPanels calls a kernel for count tiles from the given panel and token on.
//
// The pointers are safe: Set.MatMul has checked that out, bias and x have room for all panels and
// tokens asked for, and quant.View that w has all its panels and scales. The kernels read and write
// nothing beyond them, and keep no pointer.
func multiplyPanels(kernel multiplyKernel, out []float32, stride int, w *quant.Matrix, x *Input, bias []float32, panel, count, token int) {
	groups, row := w.Groups(), panel*panelRows
	codes := &w.Codes[panel*w.PanelBytes()]
	var scales, values *byte
	var xScales *float32
	var xSums *int32
	if integer := w.RowScales != nil || w.GroupScales != nil; integer {
		values = (*byte)(unsafe.Pointer(&x.Codes[token*x.Columns]))
		xScales, xSums = &x.Scales[token*groups], &x.Sums[token*groups]
	} else {
		values = (*byte)(unsafe.Pointer(&x.Values[token*x.Columns]))
	}
	switch {
	case w.RowScales != nil:
		scales = (*byte)(unsafe.Pointer(&w.RowScales[row]))
	case w.GroupScales != nil:
		scales = (*byte)(unsafe.Pointer(&w.GroupScales[row*groups]))
	}
	kernel(codes, scales, values, xScales, xSums, &bias[row], &out[token*stride+row], uintptr(stride)*4, uintptr(groups), uintptr(count))
}
