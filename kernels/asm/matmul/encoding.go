package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An encoding says how a line of a panel is multiplied. A line is worked through in one or two
// passes; a pass multiplies one register of weights per 16 rows with one broadcast value per token.
type encoding struct {
	name      string
	columns   int // of a line
	passes    int // over a line
	xBytes    int // of the activation of one column
	rowScales bool

	// constants sets the registers of constants; it may be nil.
	constants func(k *kernel)
	// weight loads the weights of a pass from a line of one panel; with narrow registers, the lower
	// or upper 8 rows.
	weight func(k *kernel, line Mem, part, pass int) reg.VecVirtual
	// token broadcasts a token's activations of a pass, given those of the line.
	token func(k *kernel, line Mem, pass int) reg.VecVirtual
	// multiply adds x*w to sum.
	multiply func(k *kernel, x, w, sum reg.VecVirtual)
	// integer multiplies a group of an integer encoding and folds its sums; nil for float encodings.
	integer func(k *kernel)
	halves  bool // integer needs room for int32 sums
}

// One column of a line after the other, one fused multiply-add each.
var f32 = &encoding{
	name: "f32", columns: 1, passes: 1, xBytes: 4,
	weight: func(k *kernel, line Mem, part, _ int) reg.VecVirtual {
		w := k.vector()
		VMOVUPS(line.Offset(part*k.bytes), w)
		return w
	},
	token:    broadcastFloat,
	multiply: multiplyFloat,
}

var f16 = &encoding{
	name: "f16", columns: 2, passes: 2, xBytes: 4,
	weight: func(k *kernel, line Mem, part, pass int) reg.VecVirtual {
		w := k.vector()
		VCVTPH2PS(line.Offset(pass*lineBytes/2+part*k.bytes/2), w)
		return w
	},
	token:    broadcastFloat,
	multiply: multiplyFloat,
}

func broadcastFloat(k *kernel, line Mem, pass int) reg.VecVirtual {
	x := k.vector()
	VBROADCASTSS(line.Offset(4*pass), x)
	return x
}

func multiplyFloat(_ *kernel, x, w, sum reg.VecVirtual) { VFMADD231PS(w, x, sum) }

// With VNNI, one instruction adds the products of 4 columns.
var int8VNNI = &encoding{
	name: "int8", columns: 4, passes: 1, xBytes: 1, rowScales: true,
	weight:   loadBytes,
	token:    broadcastCodes,
	multiply: multiplyVNNI,
	integer:  int32Dots(7, 0),
}

var int4VNNI = &encoding{
	name: "int4", columns: 8, passes: 2, xBytes: 1,
	constants: nibbleMask,
	weight:    loadNibbles,
	token:     broadcastCodes,
	multiply:  multiplyVNNI,
	integer:   int32Dots(3, 0),
}

func loadBytes(k *kernel, line Mem, part, _ int) reg.VecVirtual {
	w := k.vector()
	k.move(line.Offset(part*k.bytes), w)
	return w
}

// loadNibbles takes the low nibbles in the first pass, the high ones in the second.
func loadNibbles(k *kernel, line Mem, part, pass int) reg.VecVirtual {
	w := k.vector()
	if pass == 0 {
		k.and(line.Offset(part*k.bytes), k.mask, w)
		return w
	}
	k.move(line.Offset(part*k.bytes), w)
	VPSRLW(Imm(4), w, w)
	k.and(w, k.mask, w)
	return w
}

func broadcastCodes(k *kernel, line Mem, pass int) reg.VecVirtual {
	x := k.vector()
	VPBROADCASTD(line.Offset(4*pass), x)
	return x
}

func multiplyVNNI(_ *kernel, x, w, sum reg.VecVirtual) { VPDPBUSD(x, w, sum) }

func nibbleMask(k *kernel) { k.mask = k.constant(0x0f0f0f0f) }

// Without VNNI the bytes of a line go through VPMADDWD, the even ones in one pass, the odd ones in
// the other. (VPMADDUBSW would saturate: 255*127*2 > 32767.) The activations are left in the upper
// byte of a word, which makes all sums 256 times too large: in the end at most 256*64*128*128 = 2^28;
// what wraps around on the way cancels.
var int8Words = &encoding{
	name: "int8", columns: 4, passes: 2, xBytes: 1, rowScales: true,
	constants: func(k *kernel) { k.mask = k.constant(0x00ff00ff) },
	weight: func(k *kernel, line Mem, part, pass int) reg.VecVirtual {
		w := k.vector()
		if pass == 0 {
			VPAND(line.Offset(part*k.bytes), k.mask, w)
			return w
		}
		VMOVDQU(line.Offset(part*k.bytes), w)
		VPSRLW(Imm(8), w, w)
		return w
	},
	token: func(k *kernel, line Mem, pass int) reg.VecVirtual {
		x := k.vector()
		VPBROADCASTD(line, x)
		if pass == 0 {
			VPSLLW(Imm(8), x, x)
		} else {
			VPANDN(x, k.mask, x)
		}
		return x
	},
	multiply: func(k *kernel, x, w, sum reg.VecVirtual) {
		product := k.vector()
		VPMADDWD(x, w, product)
		VPADDD(product, sum, sum)
	},
	integer: int32Dots(7, 8),
}

// Nibbles are small enough for VPMADDUBSW, and for the products of half a group to be added as
// 16-bit numbers: 4 lines of 2 passes of 2 products, 16*15*128 < 2^15.
var int4Words = &encoding{
	name: "int4", columns: 8, passes: 2, xBytes: 1,
	constants: func(k *kernel) {
		nibbleMask(k)
		k.ones = k.constant(0x00010001)
	},
	weight: loadNibbles,
	token:  broadcastCodes,
	multiply: func(k *kernel, x, w, sum reg.VecVirtual) {
		product := k.vector()
		VPMADDUBSW(x, w, product)
		VPADDW(product, sum, sum)
	},
	integer: int16Dots(3), halves: true,
}

// constant returns a register filled with a 32-bit pattern.
func (k *kernel) constant(pattern uint32) reg.VecVirtual {
	scalar, v := GP32(), k.vector()
	x := XMM()
	MOVL(U32(pattern), scalar)
	VMOVD(scalar, x)
	VPBROADCASTD(x, v)
	return v
}
