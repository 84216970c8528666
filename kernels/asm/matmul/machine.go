package main

import (
	"slices"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// A machine is what matrix products are generated for, and which.
type machine struct {
	*amd64.Machine
	products []product
}

// A product is the matrix product with panels of an encoding.
type product struct {
	// encoding chooses how the machine multiplies.
	encoding func(m *amd64.Machine) *encoding
	// panels says, for 1, 2, 3, ... tokens, how many panels the kernels take at once: as many as there are registers for,
	// then fewer, down to one, for what is left of a range. None for numbers of tokens that another machine's kernels take.
	panels [][]int
	// prefetching has the numbers of tokens for which kernels of several panels do not fetch every line ahead.
	prefetching map[int]prefetching
}

var machines = []machine{
	{amd64.AVX512, []product{
		{panelInt8, wideInteger, map[int]prefetching{2: everyOther, 3: everyOther}},
		{panelInt4, wideInteger, nil},
		{panelF32, wide, nil},
		{panelF16, wide, nil},
	}},
	{amd64.AVX512GFNI, []product{ // from the cache it gains nothing
		{panelInt4, single, nil},
	}},
	{amd64.AMX, []product{
		{panelInt8, onlyMany, nil},
		{panelInt4, onlyMany, nil},
	}},
	{amd64.AVXVNNI, []product{ // floats as with AVX2
		{panelInt8, [][]int{{6, 1}, {3, 1}, {2, 1}, {1}, {1}, {1}}, nil},
		{panelInt4, [][]int{{6, 1}, {3, 1}, {1}, {1}, {1}, {1}}, nil}, // a mask needs a register too
	}},
	{amd64.AVX2, []product{
		{panelInt8, [][]int{{6, 1}, {2, 1}, {1}, {1}, {1}}, nil}, // besides the operands, a product and a mask need registers
		{panelInt4, [][]int{{4, 1}, {2, 1}, {1}, {1}, {1}}, nil}, // and the ones that widen sums
		{panelF32, narrow, map[int]prefetching{1: noLine}},
		{panelF16, narrow, map[int]prefetching{1: noLine}},
	}},
}

var (
	// wide is for 32 registers of 64 bytes: up to 24 sums, and the rest for weights and activations.
	wide = [][]int{{8, 4, 1}, {8, 4, 1}, {8, 4, 1}, {6, 2, 1}, {4, 1}, {4, 1}, {3, 2, 1}, {3, 2, 1}}
	// wideInteger has one panel for one token, which is as fast from the cache, and faster from memory.
	wideInteger = slices.Concat([][]int{{1}}, wide[1:])
	// single is for reading weights from memory only.
	single = [][]int{{1}, {1}, {1}, {1}, {1}, {1}, {1}, {1}}
	// narrow is for 16 registers of 32 bytes, of which a panel needs two for each token: up to 12.
	narrow = [][]int{{6, 1}, {2, 1}, {2, 1}, {1}, {1}, {1}}
	// onlyMany is for tiles, whose rows are tokens: with few of them, multiplying by registers is as fast.
	onlyMany = [][]int{7: {1}, 8: {1}, 9: {1}, 10: {1}, 11: {1}, 12: {1}, 13: {1}, 14: {1}, 15: {1}}
)
