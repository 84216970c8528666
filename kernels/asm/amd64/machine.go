// Package amd64 holds what the generators of amd64 assembly share: the machines that they generate for, and the files
// that they write.
package amd64

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"
)

// A Machine is a set of instructions and registers that functions are generated for. A generator never asks which
// machine it has, only what the machine can do. Which CPUs have it is decided in package kernels, cpu_amd64.go.
type Machine struct {
	Name string // part of the names of its functions
	// Extensions are those that its functions may use, as avo calls them. Writing a file fails for functions that
	// use others.
	Extensions []string

	RegisterBytes int // of a vector register: 32 or 64
	Registers     int // vector registers

	// Opmasks says that truth values lie in opmask registers, by which an instruction can choose the lanes that it
	// writes. It comes with registers of 64 bytes.
	Opmasks bool
	// EmbeddedBroadcast says that an instruction can take one number in memory for all lanes of an operand.
	EmbeddedBroadcast bool
	// BitMatrices says that an instruction multiplies bytes by a matrix of bits.
	BitMatrices bool
	// Tiles says that there are tile registers.
	Tiles bool

	// dotBytes emits the dot product of bytes. It is nil if the machine has none.
	dotBytes func(c *build.Context, x, w, sum operand.Op)
	*forms
}

var (
	AVX2 = &Machine{
		Name:          "AVX2",
		Extensions:    []string{"AVX", "AVX2", "CMOV", "F16C", "FMA3", "MMX+", "POPCNT", "SSE", "SSE2"},
		RegisterBytes: 32,
		Registers:     16,
		forms:         &vex,
	}
	// AVXVNNI is AVX2 with the dot product of bytes, as later CPUs have it that lack AVX-512.
	AVXVNNI = &Machine{
		Name:          "AVXVNNI",
		Extensions:    append([]string{"AVXVNNI"}, AVX2.Extensions...),
		RegisterBytes: AVX2.RegisterBytes,
		Registers:     AVX2.Registers,
		dotBytes: func(c *build.Context, x, w, sum operand.Op) {
			operands := []operand.Op{x, w, sum}
			c.Instruction(&ir.Instruction{
				Opcode: dotBytesVEX, Operands: operands, Inputs: operands, Outputs: operands[2:], ISA: []string{"AVXVNNI"},
			})
		},
		forms: AVX2.forms,
	}
	AVX512 = &Machine{
		Name:              "AVX512",
		Extensions:        append([]string{"AVX512BW", "AVX512DQ", "AVX512F", "AVX512VL", "AVX512VNNI"}, AVX2.Extensions...),
		RegisterBytes:     64,
		Registers:         32,
		Opmasks:           true,
		EmbeddedBroadcast: true,
		dotBytes:          func(c *build.Context, x, w, sum operand.Op) { c.VPDPBUSD(x, w, sum) },
		forms:             &evex,
	}
	// AVX512GFNI is AVX512 with matrices of bits, which the first CPUs that had AVX512 lack.
	AVX512GFNI = withBitMatrices(AVX512)
	// AMX is AVX512 with tiles.
	AMX = withTiles(AVX512)
)

func withBitMatrices(m *Machine) *Machine {
	extended := *m
	extended.Name += "GFNI"
	extended.Extensions = append([]string{"GFNI"}, m.Extensions...)
	extended.BitMatrices = true
	return &extended
}

// forms are instructions that do the same on every machine, but not under the same name in each of the two encodings of
// instructions. Those that have one name, most of them, need no entry.
type forms struct {
	zero  func(c *build.Context, v operand.Op)
	move  func(c *build.Context, from, to operand.Op)
	and   func(c *build.Context, a, b, to operand.Op)
	round func(c *build.Context, x, to operand.Op)
}

var vex = forms{
	zero:  func(c *build.Context, v operand.Op) { c.VPXOR(v, v, v) },
	move:  func(c *build.Context, from, to operand.Op) { c.VMOVDQU(from, to) },
	and:   func(c *build.Context, a, b, to operand.Op) { c.VPAND(a, b, to) },
	round: func(c *build.Context, x, to operand.Op) { c.VROUNDPS(operand.Imm(8), x, to) }, // 8: without the inexact exception
}

var evex = forms{
	zero: func(c *build.Context, v operand.Op) {
		i, err := x86.VPXORD(v, v, v)
		if err != nil {
			panic(err)
		}
		i.CancellingInputs = true // avo knows this of VPXOR only: it would take v for in use before
		c.Instruction(i)
	},
	move:  func(c *build.Context, from, to operand.Op) { c.VMOVDQU32(from, to) },
	and:   func(c *build.Context, a, b, to operand.Op) { c.VPANDD(a, b, to) },
	round: func(c *build.Context, x, to operand.Op) { c.VRNDSCALEPS(operand.Imm(0), x, to) },
}

// An Assembler writes functions for a machine into a file. It has all instructions of avo, with operands in the order of
// Go's assembler: the destination comes last.
type Assembler struct {
	*build.Context
	*Machine
	file *File
}

// Begin begins a function. It must keep none of the pointers that it is given, since its declaration tells Go so.
func (a *Assembler) Begin(name, signature string) {
	a.file.machines[name] = a.Machine
	a.Function(name)
	a.SignatureExpr(signature)
	a.Pragma("noescape")
}

// End ends a function.
func (a *Assembler) End() {
	a.VZEROUPPER() // Go's own code is SSE, which some CPUs slow down while the upper halves of registers are in use
	a.RET()
}

// LoopLabel puts a label where a loop begins that most of the time is spent in, at the beginning of a cache line. Where code
// happens to lie in a program otherwise makes such a loop up to 7 % slower.
func (a *Assembler) LoopLabel(name string) {
	a.Instruction(&ir.Instruction{Opcode: "PCALIGN", Operands: []operand.Op{operand.Imm(64)}})
	a.Label(name)
}

// Parameter loads a parameter of the function into a new register.
func (a *Assembler) Parameter(name string) reg.GPVirtual {
	r := a.GP64()
	a.Load(a.Param(name), r)
	return r
}

// Vector returns a new vector register.
func (a *Assembler) Vector() reg.VecVirtual {
	if a.RegisterBytes == 64 {
		return a.ZMM()
	}
	return a.YMM()
}

// Zero clears a vector register.
func (a *Assembler) Zero(v operand.Op) { a.zero(a.Context, v) }

// Move copies a vector register from or to memory, at any address, or to another register.
func (a *Assembler) Move(from, to operand.Op) { a.move(a.Context, from, to) }

// And writes the bits that x and y have in common.
func (a *Assembler) And(x, y, to operand.Op) { a.and(a.Context, x, y, to) }

// Round rounds every float32 of x to the nearest integer, ties to even.
func (a *Assembler) Round(x, to operand.Op) { a.round(a.Context, x, to) }

// HasDotBytes says whether there is DotBytes.
func (m *Machine) HasDotBytes() bool { return m.dotBytes != nil }

// DotBytes adds to every int32 of sum the products of its four bytes of w, unsigned, with those of x, signed. Nothing
// saturates.
func (a *Assembler) DotBytes(x, w, sum operand.Op) { a.dotBytes(a.Context, x, w, sum) }
