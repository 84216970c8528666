//go:build amd64 || arm64

package kernels

import (
	"unsafe"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
)

// A multiplyKernel is a generated function. It multiplies some tiles of panels, one after the
// other, with as many tokens as it is made for. All pointers are to the first panel or token;
// outStride is in bytes; scales are the weights' (float32 per row of int8, binary16 per row and
// group of int4). follow is not 0 if it is worth prefetching what lies behind the last tile.
type multiplyKernel func(codes, scales, x *byte, xScales *float32, xSums *int32, bias, out *float32, outStride, groups, tiles, follow uintptr)

// A tile is a kernel and the number of panels it takes at once.
type tile struct {
	panels   int
	multiply multiplyKernel
}

const (
	// blockBytes is about how much of the weights all tokens pass through before the next panels are
	// touched: it stays in the second-level cache.
	blockBytes = 256 << 10
	// blockPanels divides the number of panels in a block. It is a multiple of what all tiles for
	// four tokens and more take at once.
	blockPanels = 12
)

// matMulTiles returns the matrix product by kernels for 1, 2, 3, ... tokens, the largest tiles of
// panels first.
func matMulTiles(kernels [][]tile) matMulKernel {
	return func(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
		parts := (x.Tokens + len(kernels) - 1) / len(kernels)
		step := last - first
		if parts > 1 {
			step = max(1, blockBytes/(w.PanelBytes()*blockPanels)) * blockPanels
		}
		for p := first; p < last; p += step {
			end := min(p+step, last)
			for i := range parts { // their sizes differ by at most one
				token, next := i*x.Tokens/parts, (i+1)*x.Tokens/parts
				more := i == parts-1 && end < last
				multiplyTiles(kernels[next-token-1], out, stride, w, x, bias, p, end, token, more)
			}
		}
	}
}

// multiplyTiles multiplies panels first <= p < last with the tokens of the given kernels. more says
// that the panels behind them come next.
func multiplyTiles(tiles []tile, out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last, token int, more bool) {
	for _, t := range tiles {
		if count := (last - first) / t.panels; count > 0 {
			end := first + count*t.panels
			multiplyPanels(t.multiply, out, stride, w, x, bias, first, count, token, more || end < last)
			first = end
		}
	}
}

// multiplyPanels calls a kernel for count tiles from the given panel and token on.
//
// The pointers are safe: Set.MatMul has checked that out and bias have room for all panels and
// tokens asked for and that x has the columns of w; panel.View that w has all its panels and scales. The
// kernels write nothing but the outputs, read nothing beyond what they multiply, and keep no pointer.
func multiplyPanels(kernel multiplyKernel, out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, panel, count, token int, more bool) {
	groups, row := w.Groups(), panel*panelRows
	var scales, values *byte
	var xScales *float32
	var xSums *int32
	switch w.Encoding {
	case format.PanelInt8:
		scales = (*byte)(unsafe.Pointer(&w.RowScales[row]))
	case format.PanelInt4:
		scales = (*byte)(unsafe.Pointer(&w.GroupScales[row*groups]))
	}
	if scales != nil {
		values = (*byte)(unsafe.Pointer(&x.Codes[token*x.Columns]))
		xScales, xSums = &x.Scales[token*groups], &x.Sums[token*groups]
	} else {
		values = (*byte)(unsafe.Pointer(&x.Values[token*x.Columns]))
	}
	var follow uintptr
	if more {
		follow = 1
	}
	kernel(&w.Codes[panel*w.PanelBytes()], scales, values, xScales, xSums, &bias[row], &out[token*stride+row],
		uintptr(stride)*4, uintptr(groups), uintptr(count), follow)
}
