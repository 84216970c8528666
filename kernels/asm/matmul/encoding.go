package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// An encoding says how a line of a panel is multiplied. A kernel goes over each line in one or two passes. A pass
// multiplies the weights of some of the line's columns, for all rows of a panel, with the same columns of every token.
type encoding struct {
	name      string
	columns   int // in a line
	passes    int // over a line
	xBytes    int // of the activation in one column
	rowScales bool

	// constants fills the registers of constants. It may be nil.
	constants func(k *kernel)
	// weight loads the weights of a pass from a line of one panel. The rows of a panel fill one or more registers, of
	// which part says which one.
	weight func(k *kernel, line operand.Mem, part, pass int) reg.VecVirtual
	// token loads the activations of a pass for all rows. line is where a token's activations of the line lie.
	token func(k *kernel, line operand.Mem, pass int) reg.VecVirtual
	// multiply adds x*w to sum.
	multiply func(k *kernel, x, w, sum reg.VecVirtual)
	// integer multiplies a group of an integer encoding and folds its sums into the float32 ones. It is nil for float
	// encodings.
	integer func(k *kernel)
	tiled   *tiled // how tiles multiply a group, instead of all above but constants; nil without tiles
	halves  bool   // integer needs room in memory for the sums of half a group
}

// The encodings are those of package format. Each function returns how a machine multiplies one: integers by tiles
// or by the dot product of bytes where the machine has them, else by words.

func panelF32(*amd64.Machine) *encoding { return &f32 }

func panelF16(*amd64.Machine) *encoding { return &f16 }

func panelInt8(m *amd64.Machine) *encoding {
	if m.Tiles {
		return &int8Tiles
	}
	if m.HasDotBytes() {
		return &int8Bytes
	}
	return &int8Words
}

func panelInt4(m *amd64.Machine) *encoding {
	if m.Tiles {
		return &int4Tiles
	}
	if m.HasDotBytes() {
		return &int4Bytes
	}
	return &int4Words
}

// A line is one column: one fused multiply-add.
var f32 = encoding{
	name: "f32", columns: 1, passes: 1, xBytes: 4,
	weight: func(k *kernel, line operand.Mem, part, _ int) reg.VecVirtual {
		w := k.Vector()
		k.VMOVUPS(line.Offset(part*k.RegisterBytes), w)
		return w
	},
	token:    broadcastFloat,
	multiply: multiplyFloat,
}

// The two columns of a line are multiplied one after the other.
var f16 = encoding{
	name: "f16", columns: 2, passes: 2, xBytes: 4,
	weight: func(k *kernel, line operand.Mem, part, pass int) reg.VecVirtual {
		w := k.Vector()
		k.VCVTPH2PS(line.Offset(pass*lineBytes/2+part*k.RegisterBytes/2), w)
		return w
	},
	token:    broadcastFloat,
	multiply: multiplyFloat,
}

func broadcastFloat(k *kernel, line operand.Mem, pass int) reg.VecVirtual {
	x := k.Vector()
	k.VBROADCASTSS(line.Offset(4*pass), x)
	return x
}

func multiplyFloat(k *kernel, x, w, sum reg.VecVirtual) { k.VFMADD231PS(w, x, sum) }

// A line is one dot product: 4 columns of each row lie side by side.
var int8Bytes = encoding{
	name: "int8", columns: 4, passes: 1, xBytes: 1, rowScales: true,
	weight:   loadBytes,
	token:    broadcastCodes,
	multiply: (*kernel).dotBytes,
	integer:  int32Dots(7, 0),
}

var int4Bytes = encoding{
	name: "int4", columns: 8, passes: 2, xBytes: 1,
	constants: nibbleMask,
	weight:    loadNibbles,
	token:     broadcastCodes,
	multiply:  (*kernel).dotBytes,
	integer:   int32Dots(3, 0),
}

func loadBytes(k *kernel, line operand.Mem, part, _ int) reg.VecVirtual {
	w := k.Vector()
	k.Move(line.Offset(part*k.RegisterBytes), w)
	return w
}

// loadNibbles takes the low nibbles in the first pass, the high ones in the second.
func loadNibbles(k *kernel, line operand.Mem, part, pass int) reg.VecVirtual {
	w := k.Vector()
	if pass == 0 {
		k.And(line.Offset(part*k.RegisterBytes), k.mask, w)
		return w
	}
	k.Move(line.Offset(part*k.RegisterBytes), w)
	if k.BitMatrices {
		k.VGF2P8AFFINEQB(operand.Imm(0), k.matrix, w, w)
		return w
	}
	k.VPSRLW(operand.Imm(4), w, w)
	k.And(w, k.mask, w)
	return w
}

func broadcastCodes(k *kernel, line operand.Mem, pass int) reg.VecVirtual {
	x := k.Vector()
	k.VPBROADCASTD(line.Offset(4*pass), x)
	return x
}

func (k *kernel) dotBytes(x, w, sum reg.VecVirtual) { k.DotBytes(x, w, sum) }

// nibbleMask also prepares the matrix that shifts a byte by four bits, where one instruction multiplies by it: row i of it is
// the bit that bit i comes from, the rows from the last byte on.
func nibbleMask(k *kernel) {
	k.mask = k.constant(0x0f0f0f0f)
	if !k.BitMatrices {
		return
	}
	const shiftByFour = 0x1020408000000000
	scalar, x := k.GP64(), k.XMM()
	k.matrix = k.Vector()
	k.MOVQ(operand.U64(shiftByFour), scalar)
	k.VMOVQ(scalar, x)
	k.VPBROADCASTQ(x, k.matrix)
}

// Without a dot product of bytes, VPMADDWD multiplies words: one pass takes the even bytes of a line, the other the odd
// ones. (VPMADDUBSW multiplies bytes, but would saturate: 255*127*2 > 32767.)
//
// A weight, unsigned, fills its word. An activation, signed, is left in the upper byte of its word, with zeros below; to
// move it down with its sign would cost one instruction more. So all sums are 256 times too large. In the end they are
// at most 256*64*128*128 = 2^28; what exceeds 32 bits on the way wraps around, and back again.
var int8Words = encoding{
	name: "int8", columns: 4, passes: 2, xBytes: 1, rowScales: true,
	constants: func(k *kernel) { k.mask = k.constant(0x00ff00ff) },
	weight: func(k *kernel, line operand.Mem, part, pass int) reg.VecVirtual {
		w := k.Vector()
		if pass == 0 {
			k.And(line.Offset(part*k.RegisterBytes), k.mask, w)
			return w
		}
		k.Move(line.Offset(part*k.RegisterBytes), w)
		k.VPSRLW(operand.Imm(8), w, w)
		return w
	},
	token: func(k *kernel, line operand.Mem, pass int) reg.VecVirtual {
		x := k.Vector()
		k.VPBROADCASTD(line, x)
		if pass == 0 {
			k.VPSLLW(operand.Imm(8), x, x)
		} else {
			k.VPANDN(x, k.mask, x)
		}
		return x
	},
	multiply: func(k *kernel, x, w, sum reg.VecVirtual) {
		product := k.Vector()
		k.VPMADDWD(x, w, product)
		k.VPADDD(product, sum, sum)
	},
	integer: int32Dots(7, 8),
}

// Nibbles are small enough for VPMADDUBSW, which adds two products in a word, and the sums of half a group still fit
// there: 4 lines, 2 passes and 2 products are 16*15*128 < 2^15.
var int4Words = encoding{
	name: "int4", columns: 8, passes: 2, xBytes: 1,
	constants: func(k *kernel) {
		nibbleMask(k)
		k.ones = k.constant(0x00010001)
	},
	weight: loadNibbles,
	token:  broadcastCodes,
	multiply: func(k *kernel, x, w, sum reg.VecVirtual) {
		product := k.Vector()
		k.VPMADDUBSW(x, w, product)
		k.VPADDW(product, sum, sum)
	},
	integer: int16Dots(3), halves: true,
}

// constant returns a register with a 32-bit pattern in every lane.
func (k *kernel) constant(pattern uint32) reg.VecVirtual {
	scalar, v := k.GP32(), k.Vector()
	x := k.XMM()
	k.MOVL(operand.U32(pattern), scalar)
	k.VMOVD(scalar, x)
	k.VPBROADCASTD(x, v)
	return v
}
