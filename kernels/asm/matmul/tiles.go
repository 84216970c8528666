package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// The tiles of AMX multiply a group of a panel, 64 columns of 16 rows, with up to 16 tokens by one instruction. The group
// of int8 is a tile as it lies in the panel; that of int4 is one once its nibbles are bytes. The activations' codes are one
// as they lie, with the stride of a row. What remains is to fold the int32 sums, tokens x 16 rows, into float32 ones in
// registers: this takes most of the time. They can get there through memory only.
//
// So a group goes through stages, and each round of the loop does every stage for another group: what one stage stores has
// reached memory by the time that the next one loads it.

// The tiles in use.
const (
	sumTile    amd64.Tile = iota // int32 sums [tokens, 16 rows]
	xTile                        // codes [tokens, 64 columns]
	weightTile                   // a group of a panel
	excessTile                   // bytes that stand for minus what every weight is stored too large
)

// tileBytes is the size of a tile of 16 rows.
const tileBytes = 1024

// slots is how many tiles a stage has room for in memory: a power of two, more than two stages are apart.
const slots = 4

// A stage is one step of what is done with a group.
type stage struct {
	name  string
	delay int // in groups, behind the first stage
	emit  func(slot reg.GPVirtual)
}

// tiled says how an encoding is multiplied by tiles.
type tiled struct {
	excess uint8 // of the stored codes over what they stand for
	// stages returns the stages of a group, by their delays.
	stages func(k *tileKernel) []stage
}

// A tileKernel is a kernel while it is generated.
type tileKernel struct {
	*kernel
	weights, x    reg.GPVirtual // move along the columns
	xStride, line reg.GPVirtual // bytes from one token's codes to the next; the size of a line of a tile
	memory        reg.GPVirtual // slots for the sums; behind them those for unpacked weights
}

var int8Tiles = encoding{
	name: "int8", columns: 4, xBytes: 1, rowScales: true,
	tiled: &tiled{excess: 128, stages: func(k *tileKernel) []stage {
		return []stage{
			{"multiply", 0, func(slot reg.GPVirtual) {
				k.multiplyTile(k.weights, slot)
				k.nextWeights()
			}},
			{"fold", 2, k.foldTile},
		}
	}},
}

var int4Tiles = encoding{
	name: "int4", columns: 8, xBytes: 1,
	constants: nibbleMask,
	tiled: &tiled{excess: 8, stages: func(k *tileKernel) []stage {
		return []stage{
			{"unpack", 0, k.unpackNibbles},
			{"multiply", 1, func(slot reg.GPVirtual) {
				bytes := k.GP64()
				k.LEAQ(operand.Mem{Base: k.memory, Index: slot, Scale: 1, Disp: slots * tileBytes}, bytes)
				k.multiplyTile(bytes, slot)
			}},
			{"fold", 3, k.foldTile},
		}
	}},
}

// generateTiles emits the function:
//
//	for each panel
//		sums = 0
//		for each group of 64 columns, in stages
//			sums += scale * (weights * activations)
//		out = sums * scale + bias
//
// All of it lies between LDTILECFG and TILERELEASE: Go does not interrupt assembly to run something else on the thread.
func (k *kernel) generateTiles() {
	k.Begin(k.name(), signature)
	k.Doc(fmt.Sprintf("%s multiplies panels with %d tokens.", k.name(), k.tokens))

	t := tileKernel{kernel: k, x: k.GP64()}
	k.groups, t.weights = k.Parameter("groups"), k.Parameter("codes")
	t.xStride = k.multiple(k.groups, groupColumns)
	end := k.multiple(k.groups, tileBytes)
	t.line = k.GP64()
	k.MOVQ(operand.I32(lineBytes), t.line)
	if !k.rowScales {
		k.state.groupScales = k.Parameter("scales")
	}
	k.state.scales = k.GP64()
	t.allocateMemory()
	t.configure()
	if k.constants != nil {
		k.constants(k)
	}
	offset := k.AllocLocal(8) // of the panel in a row of outputs, in bytes
	k.MOVQ(operand.I32(0), offset)
	position := k.GP64() // of the group that the first stage is at, in bytes of tiles
	stages := k.tiled.stages(&t)

	k.Label("tile")
	k.Load(k.Param("x"), t.x)
	k.Load(k.Param("xScales"), k.state.scales)
	k.MOVQ(operand.I32(0), position)
	k.allocateSums()
	k.clear(k.sums)

	k.LoopLabel("group")
	for _, s := range stages {
		t.stage(s, position, end)
	}
	k.ADDQ(operand.I32(tileBytes), position)
	last := k.GP64()
	k.LEAQ(operand.Mem{Base: end, Disp: stages[len(stages)-1].delay * tileBytes}, last)
	k.CMPQ(position, last)
	k.JLT(operand.LabelRef("group"))

	k.finish(offset)
	k.ADDQ(operand.I32(panelRows*4), offset)
	k.DECQ(k.argument("tiles"))
	k.JNZ(operand.LabelRef("tile"))
	k.ReleaseTiles()
	k.End()
}

// allocateMemory reserves slots on the stack, aligned to cache lines.
func (k *tileKernel) allocateMemory() {
	k.memory = k.GP64()
	k.LEAQ(k.AllocLocal(2*slots*tileBytes+lineBytes).Offset(lineBytes-1), k.memory)
	k.ANDQ(operand.I32(-lineBytes), k.memory)
}

// configure says how large the tiles are and fills the one that stays the same.
func (k *tileKernel) configure() {
	// Of the 64 bytes of a configuration the first is the number of the palette; from 16 on there are the bytes in a row of
	// each tile, in two bytes each; from 48 on its rows.
	const palette, rowSizes, rows = 0, 16, 48
	config := operand.Mem{Base: k.memory}
	zero, sizes := k.Vector(), k.GP64()
	k.Zero(zero)
	k.Move(zero, config)
	k.MOVB(operand.Imm(1), config.Offset(palette))
	k.MOVQ(operand.U64(0x0001000100010001*lineBytes), sizes)
	k.MOVQ(sizes, config.Offset(rowSizes))
	k.MOVL(operand.U32(uint32(k.tokens)<<(8*sumTile)|uint32(k.tokens)<<(8*xTile)|16<<(8*weightTile)|16<<(8*excessTile)), config.Offset(rows))
	k.ConfigureTiles(config)

	k.Move(k.constant(0x01010101*uint32(-k.tiled.excess)), config)
	same := k.GP64() // no stride: all rows are this line
	k.XORQ(same, same)
	k.LoadTile(k.memory, same, excessTile)
}

// stage emits a stage, to be done if its group is there.
func (k *tileKernel) stage(s stage, position, end reg.GPVirtual) {
	slot, skip := k.GP64(), "after_"+s.name
	k.LEAQ(operand.Mem{Base: position, Disp: -s.delay * tileBytes}, slot)
	k.CMPQ(slot, end)
	k.JCC(operand.LabelRef(skip)) // as an unsigned number, before the first group is behind the last one
	k.ANDQ(operand.I32((slots-1)*tileBytes), slot)
	s.emit(slot)
	k.Label(skip)
}

// multiplyTile multiplies a tile of weights with the next codes and stores the sums into a slot.
func (k *tileKernel) multiplyTile(weights, slot reg.GPVirtual) {
	sums := k.GP64()
	k.LEAQ(operand.Mem{Base: k.memory, Index: slot, Scale: 1}, sums)
	k.LoadTile(k.x, k.xStride, xTile)
	k.LoadTile(weights, k.line, weightTile)
	k.ZeroTile(sumTile)
	k.DotTiles(true, sumTile, xTile, excessTile)
	k.DotTiles(false, sumTile, xTile, weightTile)
	k.StoreTile(sumTile, sums, k.line)
	k.ADDQ(operand.I32(groupColumns), k.x)
}

// nextWeights goes on to the next group of the panel, or the first one of the panel behind it, and fetches what lies ahead.
func (k *tileKernel) nextWeights() {
	for line := range k.groupBytes() / lineBytes {
		k.PREFETCHT1(operand.Mem{Base: k.weights, Disp: streamPrefetchBytes + line*lineBytes})
	}
	k.ADDQ(operand.I32(k.groupBytes()), k.weights)
}

// unpackNibbles makes a tile of a group of nibbles: the low ones of a line are a row of it, the high ones the next row.
func (k *tileKernel) unpackNibbles(slot reg.GPVirtual) {
	bytes := operand.Mem{Base: k.memory, Index: slot, Scale: 1, Disp: slots * tileBytes}
	for line := range k.groupBytes() / lineBytes {
		for pass := range 2 {
			w := loadNibbles(k.kernel, operand.Mem{Base: k.weights, Disp: line * lineBytes}, 0, pass)
			k.Move(w, bytes.Offset((2*line+pass)*lineBytes))
		}
	}
	k.nextWeights()
}

// foldTile adds scale*dot to the float32 sums, for the dots in a slot.
func (k *tileKernel) foldTile(slot reg.GPVirtual) {
	scale := k.tokenValues(k.state.scales)
	var w reg.VecVirtual
	if !k.rowScales {
		w = k.Vector()
		k.VCVTPH2PS(operand.Mem{Base: k.state.groupScales}, w)
		k.ADDQ(operand.I32(panelRows*2), k.state.groupScales)
	}
	for t, sums := range k.sums {
		dot, x := k.Vector(), scale(t)
		k.VCVTDQ2PS(operand.Mem{Base: k.memory, Index: slot, Scale: 1, Disp: t * lineBytes}, dot)
		if k.rowScales {
			k.VFMADD231PS_BCST(x, dot, sums[0])
			continue
		}
		product := k.Vector()
		k.VMULPS_BCST(x, w, product)
		k.VFMADD231PS(product, dot, sums[0])
	}
	k.ADDQ(operand.I32(4), k.state.scales)
}
