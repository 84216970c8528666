package amd64

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Some instructions are known neither to avo nor to Go's assembler. They are written as bytes, once the registers are
// allocated. Until then avo sees an instruction like any other, with what it reads and writes.

// An encoder returns the bytes of an instruction, and how the GNU assembler writes it. Its operands are in the same order
// in both.
type encoder func(operands []operand.Op) (code []byte, text string, err error)

// encoders has what is written as bytes, by opcode. No opcode of avo may be in it: it stands for another encoding there.
var encoders = map[string]encoder{
	dotBytesVEX:    encodeDotBytes,
	configureTiles: encodeConfigureTiles,
	releaseTiles:   encodeReleaseTiles,
	zeroTile:       encodeZeroTile,
	loadTile:       encodeLoadTile,
	storeTile:      encodeStoreTile,
	dotTilesSU:     encodeDotTiles("tdpbsud", prefixF3),
	dotTilesSS:     encodeDotTiles("tdpbssd", prefixF2),
}

// encode replaces the instructions of a function that encoders has.
func encode(function *ir.Function) error {
	for n, node := range function.Nodes {
		i, ok := node.(*ir.Instruction)
		if !ok || encoders[i.Opcode] == nil {
			continue
		}
		code, text, err := encoders[i.Opcode](i.Operands)
		if err != nil {
			return fmt.Errorf("%s: %w", function.Name, err)
		}
		function.Nodes[n] = &ir.Instruction{Opcode: directives(code) + " // " + text}
	}
	return nil
}

// directives returns what makes Go's assembler write bytes.
func directives(code []byte) string {
	written := make([]string, len(code))
	for i, b := range code {
		written[i] = fmt.Sprintf("BYTE $%#02x", b)
	}
	return strings.Join(written, "; ")
}

// A vexPrefix is what the three-byte VEX prefix says of an instruction, in the terms of Intel's manual, volume 2, 2.3.5.
// Registers are numbered from 0 to 15.
type vexPrefix struct {
	register, index, base int // of which the prefix holds the highest bits: ModRM.reg, SIB.index, ModRM.rm or SIB.base
	other                 int // vvvv, 0 where there is none
	long                  int // L: 1 for registers of 32 bytes
	mandatory             int // pp
}

// Values of pp: the mandatory prefix of an instruction.
const (
	prefixNone = iota
	prefix66
	prefixF3
	prefixF2
)

// bytes returns the prefix of an opcode of the map 0F38.
func (p vexPrefix) bytes() []byte {
	return []byte{
		0xc4,
		byte((^p.register&8)<<4 | (^p.index&8)<<3 | (^p.base&8)<<2 | 2),
		byte((^p.other&15)<<3 | p.long<<2 | p.mandatory),
	}
}

// dotBytesVEX is VPDPBUSD with the VEX prefix of AVX-VNNI, on registers of 32 bytes. Go's assembler always writes it with
// the EVEX prefix of AVX-512.
const dotBytesVEX = "VPDPBUSD.VEX"

func encodeDotBytes(operands []operand.Op) ([]byte, string, error) {
	var numbers [3]int
	for i, o := range operands {
		n, err := vectorNumber(o)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", dotBytesVEX, err)
		}
		numbers[i] = n
	}
	x, w, sum := numbers[0], numbers[1], numbers[2]
	code := append(vexPrefix{register: sum, base: x, other: w, long: 1, mandatory: prefix66}.bytes(), 0x50, byte(0xc0|sum&7<<3|x&7))
	return code, fmt.Sprintf("{vex} vpdpbusd %%ymm%d, %%ymm%d, %%ymm%d", x, w, sum), nil
}

// vectorNumber returns the number of a register of 32 bytes. A VEX prefix can name the first 16.
func vectorNumber(o operand.Op) (int, error) {
	r, ok := o.(reg.Register)
	if !ok || reg.ToPhysical(r) == nil || r.Kind() != reg.KindVector || r.Size() != 32 {
		return 0, fmt.Errorf("%s is no allocated register of 32 bytes", o.Asm())
	}
	n := int(reg.ToPhysical(r).PhysicalIndex())
	if n > 15 {
		return 0, fmt.Errorf("%s has no place in a VEX prefix", o.Asm())
	}
	return n, nil
}
