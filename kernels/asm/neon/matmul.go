package main

import (
	"bytes"
	"fmt"

	"github.com/tti-llm/tti/kernels/asm/arm64"
)

const (
	lineBytes    = 64 // of a panel: some columns of all its rows
	panelRows    = 16
	groupColumns = 64
	quarters     = 4 // registers that a number for each row of a panel fills
)

// signature is common to all products, so that a table can hold them. multiplyKernel in package kernels describes the
// arguments.
const signature = "func(codes, scales, x *byte, xScales *float32, xSums *int32, bias, out *float32, outStride, groups, tiles, follow uintptr)"

// A product is a way to multiply panels of an encoding.
type product struct {
	name string

	columns    int // that a step of the innermost loop takes of every panel
	panelBytes int // of a panel in a step
	tokenBytes int // of a token's activations in a step
	integer    bool
	rowScales  bool

	// constants fills registers that the whole kernel needs. It may be nil.
	constants func(k *kernel)
	// step multiplies the columns of a step. Sums of floats stay in registers; an integer product adds its group to the sums
	// in memory.
	step func(k *kernel)
	// pairs says that the sums lie as USMMLA makes them: a register has two rows of two tokens.
	pairs bool
}

// A kernel is one generated function: it multiplies consecutive tiles of some panels with a tile of some tokens.
type kernel struct {
	*arm64.Assembler
	*product
	panels, tokens int

	panel       []arm64.Register // where each panel goes on
	token       []arm64.Register // where each token's activations go on
	groupScales []arm64.Register // where each panel's scales of groups go on
	xScales     arm64.Register   // where the tokens' scales go on
	xSums       arm64.Register   // and the sums of their codes
	groups      arm64.Register
	rowGroups   arm64.Register // 4*groups: from a token's scale to the next token's
	sums        []arm64.Vector // see sum
	held        []arm64.Vector // the float32 sums of an integer product, if there are registers for them
	folded      int            // else where they lie in the frame
	sign        arm64.Vector   // a constant of the product
}

func (k *kernel) function() string {
	return fmt.Sprintf("%s%sx%dx%d", k.product.name, k.Name, k.panels, k.tokens)
}

// registers returns how many registers the sums fill.
func (k *kernel) registers() int {
	tokens := k.tokens
	if k.pairs {
		tokens += tokens & 1 // of an odd number the last one counts twice
	}
	return tokens * k.panels * quarters
}

// mostHeld is how many registers of float32 sums an integer product keeps beside those of the integers.
const mostHeld = 12

// index returns which of the sums are those of four rows, quarter q of a panel, for a token.
func (k *kernel) index(token, panel, q int) int { return (token*k.panels+panel)*quarters + q }

func (k *kernel) sum(token, panel, q int) arm64.Vector { return k.sums[k.index(token, panel, q)] }

// matMuls generates the matrix products of all machines and returns the tables of them, a Go file.
func matMuls(file *arm64.File) (tables []byte) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\npackage %s\n", file.Header(), arm64.Package)
	written := map[string]bool{}
	for _, m := range machines {
		for _, table := range m.tables {
			fmt.Fprintf(&b, "\nvar %s%sTiles = [][]tile{\n", table.name, m.Name)
			for i, tiles := range table.tokens {
				fmt.Fprintf(&b, "\t{")
				for j, count := range tiles.panels {
					k := kernel{Assembler: file.For(m.Machine), product: tiles.product, panels: count, tokens: i + 1}
					if !written[k.function()] {
						written[k.function()] = true
						k.generate()
					}
					if j > 0 {
						fmt.Fprintf(&b, ", ")
					}
					fmt.Fprintf(&b, "{%d, %s}", count, k.function())
				}
				fmt.Fprintf(&b, "},\n")
			}
			fmt.Fprintf(&b, "}\n")
		}
	}
	return b.Bytes()
}

// generate emits the function:
//
//	for each tile of panels
//		sums = 0
//		for each step
//			sums += weights * activations
//		out = sums * scale + bias
func (k *kernel) generate() {
	k.Begin(k.function(), signature)
	k.Doc("%s multiplies tiles of %d panels with %d tokens.", k.function(), k.panels, k.tokens)
	k.panel = k.pointers(k.panels)
	k.token = k.pointers(k.tokens)
	k.Go("MOVD %s, %v", k.Argument("codes"), k.panel[0])
	if k.integer {
		k.groups = k.Parameter("groups")
		k.rowGroups = k.Register()
		k.Go("LSL $2, %v, %v", k.groups, k.rowGroups)
		k.xScales, k.xSums = k.Register(), k.Register()
		if k.registers() <= mostHeld {
			k.held = k.Vectors(k.registers())
		} else {
			k.folded = k.Local(arm64.RegisterBytes * k.registers())
		}
		if !k.rowScales {
			k.groupScales = k.pointers(k.panels)
			k.Go("MOVD %s, %v", k.Argument("scales"), k.groupScales[0])
		}
	}
	offset, tiles := k.Register(), k.Parameter("tiles") // of the tile in a row of outputs, in bytes; that are left
	k.Go("MOVD $0, %v", offset)
	if k.constants != nil {
		k.constants(k)
	}

	k.Label("tile")
	k.beginTile()
	k.Scope(func() {
		k.sums = k.Vectors(k.registers())
		steps := k.Register()
		k.multipleOfGroups(steps, groupColumns/k.columns)
		if !k.integer {
			k.Clear(k.sums...)
		}
		k.Loop("step")
		k.Scope(func() { k.step(k) })
		for _, p := range k.panel {
			k.Add(p, k.panelBytes)
		}
		for _, t := range k.token {
			k.Add(t, k.tokenBytes)
		}
		k.Go("SUBS $1, %v", steps)
		k.Go("BNE step")
		k.finish(offset)
	})
	// The last panel ends where the next tile begins.
	if k.panels > 1 {
		k.Go("MOVD %v, %v", k.panel[k.panels-1], k.panel[0])
		if len(k.groupScales) > 0 {
			k.Go("MOVD %v, %v", k.groupScales[k.panels-1], k.groupScales[0])
		}
	}
	k.Add(offset, k.panels*panelRows*4)
	k.Go("SUBS $1, %v", tiles)
	k.Go("BNE tile")
	k.End()
}

func (k *kernel) pointers(count int) []arm64.Register {
	p := make([]arm64.Register, count)
	for i := range p {
		p[i] = k.Register()
	}
	return p
}

// multipleOfGroups sets a register to a multiple of the number of groups.
func (k *kernel) multipleOfGroups(r arm64.Register, factor int) {
	k.Go("MOVD %s, %v", k.Argument("groups"), r)
	if factor == 1 {
		return
	}
	k.Scope(func() {
		f := k.Register()
		k.Go("MOVD $%d, %v", factor, f)
		k.Go("MUL %v, %v", f, r)
	})
}

// beginTile sets all pointers for a tile, of which the first panel is known.
func (k *kernel) beginTile() {
	k.Scope(func() {
		distance := k.Register()
		follow := func(p []arm64.Register, groupBytes int) { // the others, at equal distances
			k.multipleOfGroups(distance, groupBytes)
			for i := 1; i < len(p); i++ {
				k.Go("ADD %v, %v, %v", distance, p[i-1], p[i])
			}
		}
		follow(k.panel, groupColumns/k.columns*k.panelBytes)
		k.Go("MOVD %s, %v", k.Argument("x"), k.token[0])
		follow(k.token, groupColumns/k.columns*k.tokenBytes)
		if !k.integer {
			return
		}
		if len(k.groupScales) > 0 {
			follow(k.groupScales, 2*panelRows)
		}
		k.Go("MOVD %s, %v", k.Argument("xScales"), k.xScales)
		k.Go("MOVD %s, %v", k.Argument("xSums"), k.xSums)
		if k.held != nil {
			k.Clear(k.held...)
			return
		}
		zero := k.Vector()
		k.Clear(zero)
		for i := range k.registers() {
			k.Store(zero, k.foldedAt(i))
		}
	})
}

// float returns a register of float32 sums of an integer product.
func (k *kernel) float(i int) arm64.Vector {
	if k.held != nil {
		return k.held[i]
	}
	v := k.Vector()
	k.Load(v, k.foldedAt(i))
	return v
}

// foldedAt returns where float32 sums of an integer product lie that are not held.
func (k *kernel) foldedAt(i int) arm64.Address {
	return arm64.At(arm64.RSP, k.folded+arm64.RegisterBytes*i)
}

// finish writes the outputs of a tile. offset is where its rows begin, in bytes.
func (k *kernel) finish(offset arm64.Register) {
	if k.integer {
		k.FreeVectors(k.sums...) // they have been folded
	}
	k.Scope(func() {
		argument := func(name string) arm64.Register {
			r := k.Parameter(name)
			k.Go("ADD %v, %v", offset, r)
			return r
		}
		out, bias := argument("out"), argument("bias")
		var scales arm64.Register
		if k.rowScales {
			scales = argument("scales")
		}
		stride := k.Parameter("outStride")
		for t := range k.tokens {
			for v := range k.panels * quarters {
				k.Scope(func() {
					row := v * arm64.RegisterBytes
					sum := k.result(t, v/quarters, v%quarters)
					if k.rowScales {
						scale := k.Vector()
						k.Load(scale, arm64.At(scales, row))
						k.FMUL(sum, sum, scale)
					}
					b := k.Vector()
					k.Load(b, arm64.At(bias, row))
					k.FADD(sum, sum, b)
					k.Store(sum, arm64.At(out, row))
				})
			}
			if t+1 < k.tokens {
				k.Go("ADD %v, %v", stride, out)
			}
		}
	})
}

// result returns the float32 sums of quarter q of a panel for a token, in a register.
func (k *kernel) result(t, p, q int) arm64.Vector {
	if !k.integer {
		return k.sum(t, p, q)
	}
	if !k.pairs {
		return k.float(k.index(t, p, q))
	}
	i, v := k.pairIndex(t/2, p, 2*q), k.Vector()
	first, second := k.float(i), k.float(i+1)
	if t%2 == 0 {
		k.UZP1(v, first, second)
	} else {
		k.UZP2(v, first, second)
	}
	return v
}
