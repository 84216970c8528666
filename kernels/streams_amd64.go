package kernels

import "github.com/tti-llm/tti/format/panel"

// A kernel that takes one panel at a time reads its weights in the order in which they lie in memory. That is how memory is
// fastest, see README.md; from the cache, with several tokens, kernels of several panels are. Products of floating-point numbers wait
// for their sums with a single panel: they take four instead of eight.

// matMulStreams returns the matrix product by one of two tables of kernels: by streams for tokens that the weights are read
// for once, else as matMulTiles by blocks.
func matMulStreams(blocks, streams [][]tile) matMulKernel {
	inBlocks, once := matMulTiles(blocks), matMulTiles(streams)
	return func(out []float32, stride int, w *panel.Matrix, x *Activations, bias []float32, first, last int) {
		product := inBlocks
		if x.Tokens <= len(streams) {
			product = once
		}
		product(out, stride, w, x, bias, first, last)
	}
}

// singlePanels returns the kernels of a table that take one panel.
func singlePanels(kernels [][]tile) [][]tile {
	single := make([][]tile, len(kernels))
	for i, tiles := range kernels {
		single[i] = tiles[len(tiles)-1:]
	}
	return single
}

// fewerPanels returns the kernels of a table for one to three tokens, without those that take the most panels.
func fewerPanels(kernels [][]tile) [][]tile {
	fewer := make([][]tile, 3)
	for i := range fewer {
		fewer[i] = kernels[i][1:]
	}
	return fewer
}
