package main

import "github.com/tti-llm/tti/kernels/asm/arm64"

// A table has the kernels of one encoding, for 1, 2, 3, ... tokens.
type table struct {
	name   string
	tokens []tiles
}

// tiles says how many panels the kernels of a product take at once: as many as there are registers for, then fewer, down to
// one.
type tiles struct {
	product *product
	panels  []int
}

// machines says which matrix products there are for which machine.
var machines = []struct {
	*arm64.Machine
	tables []table
}{
	{arm64.NEON, []table{
		{"f32", of(&f32, four, pair, pair, one, one, one)},
		{"f16", of(&f16, four, pair, pair, one, one, one)},
		{"int8", of(&int8Halves, pair, one)},
		{"int4", of(&int4Halves, pair, one)},
	}},
	{arm64.DotProd, []table{
		{"int8", of(&int8Signed, three, one, one, one, one)},
		{"int4", of(&int4Nibbles, three, one, one, one, one)},
	}},
	{arm64.I8MM, []table{
		{"int8", append(of(&int8Unsigned, three), of(&int8Pairs, nil, one, one, one, one, one)[1:]...)},
		{"int4", append(of(&int4Nibbles, three), of(&int4Pairs, nil, one, one, one, one, one)[1:]...)},
		// Without the multiplication of matrices, which is no faster than dot products on the CPUs of Apple.
		{"int8Dots", of(&int8Unsigned, three, one, one, one, one, one)},
	}},
}

var four, three, pair, one = []int{4, 2, 1}, []int{3, 2, 1}, []int{2, 1}, []int{1}

// of returns the tiles of one product for 1, 2, 3, ... tokens.
func of(p *product, panels ...[]int) []tiles {
	all := make([]tiles, len(panels))
	for i := range all {
		all[i] = tiles{p, panels[i]}
	}
	return all
}
