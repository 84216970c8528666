package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// TestSameEveryTime generates twice in one process: nothing may be left over from the first time.
func TestSameEveryTime(t *testing.T) {
	once := func() (assembly, tables string) {
		file, folder := amd64.NewFile("matmul"), t.TempDir()
		b := generate(file)
		if err := file.Write(folder); err != nil {
			t.Fatal(err)
		}
		a, err := os.ReadFile(filepath.Join(folder, "matmul_amd64.s"))
		if err != nil {
			t.Fatal(err)
		}
		return string(a), string(b)
	}
	assembly, tables := once()
	if a, b := once(); a != assembly || b != tables {
		t.Error("the second time gives something else")
	}
}

// TestTilesCoverEveryRange: tiles of one panel must be there, and come last. The kernels of AMX leave few tokens to those of
// AVX-512.
func TestTilesCoverEveryRange(t *testing.T) {
	for _, m := range machines {
		for _, p := range m.products {
			name := p.encoding(m.Machine).name + m.Name
			for i, panels := range p.panels {
				if m.Tiles && len(panels) == 0 && i+1 < len(wide) {
					continue
				}
				descending := slices.IsSortedFunc(panels, func(a, b int) int { return b - a })
				if !descending || len(panels) == 0 || panels[len(panels)-1] != 1 {
					t.Errorf("%s, %d tokens: tiles of %v panels, want a descending list that ends with 1", name, i+1, panels)
				}
			}
			for tokens := range p.prefetching {
				if tokens < 1 || tokens > len(p.panels) {
					t.Errorf("%s: prefetching for %d tokens, of which there is no tile", name, tokens)
				}
			}
		}
	}
}

// TestStrided computes the addresses that the generated instructions would.
func TestStrided(t *testing.T) {
	const base, distance = 5000, 7
	for count := 1; count <= 16; count++ {
		file := amd64.NewFile("test")
		a := file.For(amd64.AVX2)
		a.Begin("f", "func()")
		values := map[reg.ID]int{}
		address := func(m operand.Mem) int {
			sum := values[m.Base.ID()] + m.Disp
			if m.Index != nil {
				sum += values[m.Index.ID()] * int(m.Scale)
			}
			return sum
		}
		b, d := a.GP64(), a.GP64()
		values[b.ID()], values[d.ID()] = base, distance
		s := newStrided(a, b, d, count)
		for _, i := range instructions(t, file) {
			if i.Opcode != "LEAQ" {
				t.Fatalf("unexpected %s", i.Opcode)
			}
			values[i.Operands[1].(reg.Register).ID()] = address(i.Operands[0].(operand.Mem))
		}
		for i := range count {
			if got := address(s.row(i)); got != base+i*distance {
				t.Errorf("row %d of %d is at %d, want %d", i, count, got, base+i*distance)
			}
		}
	}
}

func instructions(t *testing.T, file *amd64.File) []*ir.Instruction {
	f, err := file.Result()
	if err != nil {
		t.Fatal(err)
	}
	return f.Functions()[0].Instructions()
}

// TestProducts: every pair once, everything loaded once and in ascending order, with as few registers as possible.
func TestProducts(t *testing.T) {
	for _, m := range []*amd64.Machine{amd64.AVX2, amd64.AVX512} {
		for panels := 1; panels <= 4; panels++ {
			for tokens := 1; tokens <= 8; tokens++ {
				k := kernel{Assembler: amd64.NewFile("test").For(m), panels: panels, tokens: tokens}
				var weights, xs []int
				loaded := map[reg.VecVirtual]int{}
				load := func(order *[]int) func(i int) reg.VecVirtual {
					return func(i int) reg.VecVirtual {
						*order = append(*order, i)
						r := k.Vector()
						loaded[r] = i
						return r
					}
				}
				pairs, before := map[[2]int]bool{}, 0
				k.products(load(&weights), load(&xs), func(token, v int, w, x reg.VecVirtual) {
					if len(pairs) == 0 {
						before = len(loaded)
					}
					if loaded[w] != v || loaded[x] != token || pairs[[2]int{token, v}] {
						t.Errorf("%d panels, %d tokens: token %d, register %d", panels, tokens, token, v)
					}
					pairs[[2]int{token, v}] = true
				})
				if len(pairs) != tokens*k.vectors() || len(weights) != k.vectors() || len(xs) != tokens ||
					!slices.IsSorted(weights) || !slices.IsSorted(xs) || before != min(tokens, k.vectors())+1 {
					t.Errorf("%d panels, %d tokens: %d pairs, loads %v and %v, %d of them before the first product",
						panels, tokens, len(pairs), weights, xs, before)
				}
			}
		}
	}
}
