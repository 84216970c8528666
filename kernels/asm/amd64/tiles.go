package amd64

import (
	"fmt"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A Tile is one of the eight tile registers of AMX, by its number. It has up to 16 rows of up to 64 bytes: as many as the
// configuration says.
type Tile int

// operand returns what stands for a tile in an instruction of avo, which has no such registers.
func (t Tile) operand() operand.Op { return operand.U8(t) }

// withTiles returns a machine that has tiles too.
func withTiles(m *Machine) *Machine {
	tiled := *m
	tiled.Name = "AMX"
	tiled.Extensions = append([]string{"AMXINT8", "AMXTILE"}, m.Extensions...)
	tiled.Tiles = true
	return &tiled
}

// The opcodes of AMX, none of which avo knows.
const (
	configureTiles = "LDTILECFG"
	releaseTiles   = "TILERELEASE"
	zeroTile       = "TILEZERO"
	loadTile       = "TILELOADD"
	storeTile      = "TILESTORED"
	dotTilesSU     = "TDPBSUD"
	dotTilesSS     = "TDPBSSD"
)

// ConfigureTiles sets the sizes of all tiles from the 64 bytes at an address, and clears them. A function that does so must
// call ReleaseTiles before it ends.
func (a *Assembler) ConfigureTiles(config operand.Mem) {
	a.tile(configureTiles, "AMXTILE", config)
}

// ReleaseTiles says that no tile is in use.
func (a *Assembler) ReleaseTiles() { a.tile(releaseTiles, "AMXTILE") }

// ZeroTile clears a tile.
func (a *Assembler) ZeroTile(t Tile) { a.tile(zeroTile, "AMXTILE", t.operand()) }

// LoadTile loads the rows of a tile, which lie stride bytes apart.
func (a *Assembler) LoadTile(base, stride reg.Register, t Tile) {
	a.tile(loadTile, "AMXTILE", operand.Mem{Base: base, Index: stride, Scale: 1}, t.operand())
}

// StoreTile stores the rows of a tile stride bytes apart.
func (a *Assembler) StoreTile(t Tile, base, stride reg.Register) {
	a.tile(storeTile, "AMXTILE", t.operand(), operand.Mem{Base: base, Index: stride, Scale: 1})
}

// DotTiles adds to each int32 sum[m][n] the dot product of row m of x, bytes, with column n of w: in every row of w four
// bytes of a column lie side by side. The bytes of x are signed, those of w if signed says so. Nothing saturates.
func (a *Assembler) DotTiles(signed bool, sum, x, w Tile) {
	opcode := dotTilesSU
	if signed {
		opcode = dotTilesSS
	}
	a.tile(opcode, "AMXINT8", w.operand(), x.operand(), sum.operand())
}

// tile emits an instruction of AMX. It changes no register that avo knows.
func (a *Assembler) tile(opcode, extension string, operands ...operand.Op) {
	a.Instruction(&ir.Instruction{Opcode: opcode, Operands: operands, Inputs: operands, ISA: []string{extension}})
}

func encodeConfigureTiles(operands []operand.Op) ([]byte, string, error) {
	m, ok := operands[0].(operand.Mem)
	if !ok || m.Index != nil {
		return nil, "", fmt.Errorf("%s is no plain address", operands[0].Asm())
	}
	code, text, err := memoryInstruction(0x49, prefixNone, 0, m)
	return code, "ldtilecfg " + text, err
}

func encodeReleaseTiles([]operand.Op) ([]byte, string, error) {
	return append(vexPrefix{}.bytes(), 0x49, 0xc0), "tilerelease", nil
}

func encodeZeroTile(operands []operand.Op) ([]byte, string, error) {
	tiles, err := tileNumbers(operands...)
	if err != nil {
		return nil, "", err
	}
	return append(vexPrefix{mandatory: prefixF2}.bytes(), 0x49, byte(0xc0|tiles[0]<<3)), fmt.Sprintf("tilezero %%tmm%d", tiles[0]), nil
}

func encodeLoadTile(operands []operand.Op) ([]byte, string, error) {
	code, text, tile, err := encodeTileAccess(operands[0], operands[1], prefixF2)
	return code, fmt.Sprintf("tileloadd %s, %%tmm%d", text, tile), err
}

func encodeStoreTile(operands []operand.Op) ([]byte, string, error) {
	code, text, tile, err := encodeTileAccess(operands[1], operands[0], prefixF3)
	return code, fmt.Sprintf("tilestored %%tmm%d, %s", tile, text), err
}

func encodeTileAccess(memory, tile operand.Op, mandatory int) (code []byte, text string, number int, err error) {
	tiles, err := tileNumbers(tile)
	if err != nil {
		return nil, "", 0, err
	}
	m, ok := memory.(operand.Mem)
	if !ok || m.Index == nil {
		return nil, "", 0, fmt.Errorf("%s is no address with a stride", memory.Asm())
	}
	code, text, err = memoryInstruction(0x4b, mandatory, tiles[0], m)
	return code, text, tiles[0], err
}

// encodeDotTiles returns the encoder of a dot product.
func encodeDotTiles(name string, mandatory int) encoder {
	return func(operands []operand.Op) ([]byte, string, error) {
		tiles, err := tileNumbers(operands...)
		if err != nil {
			return nil, "", err
		}
		w, x, sum := tiles[0], tiles[1], tiles[2]
		if w == x || w == sum || x == sum { // the CPU takes it for an undefined instruction
			return nil, "", fmt.Errorf("%s of tiles %d, %d and %d, which must differ", name, w, x, sum)
		}
		code := append(vexPrefix{other: w, mandatory: mandatory}.bytes(), 0x5e, byte(0xc0|sum<<3|x))
		return code, fmt.Sprintf("%s %%tmm%d, %%tmm%d, %%tmm%d", name, w, x, sum), nil
	}
}

func tileNumbers(operands ...operand.Op) ([]int, error) {
	numbers := make([]int, len(operands))
	for i, o := range operands {
		n, ok := o.(operand.U8)
		if !ok || n > 7 {
			return nil, fmt.Errorf("%s is no tile", o.Asm())
		}
		numbers[i] = int(n)
	}
	return numbers, nil
}

// memoryInstruction returns the bytes of an instruction with an address of a base and, maybe, an index, and how the GNU
// assembler writes the address. register is the other operand.
func memoryInstruction(opcode byte, mandatory, register int, m operand.Mem) (code []byte, text string, err error) {
	base, baseName, err := addressRegister(m.Base)
	if err != nil || m.Disp != 0 {
		return nil, "", fmt.Errorf("%s is no address without an offset (%v)", m.Asm(), err)
	}
	prefix := vexPrefix{base: base, mandatory: mandatory}
	// In ModRM and SIB the number 4 in the place of a base says that a SIB follows, as an index that there is none; and a
	// base of 5 needs an offset.
	const more, needsOffset = 4, 5
	modRM, index := byte(register<<3|base&7), byte(more)
	text = "(" + baseName + ")"
	if m.Index != nil {
		number, name, err := addressRegister(m.Index)
		if err != nil || number == more || m.Scale != 1 {
			return nil, "", fmt.Errorf("%s has no index that the instruction can have (%v)", m.Asm(), err)
		}
		prefix.index, index = number, byte(number&7)
		text = fmt.Sprintf("(%s,%s,1)", baseName, name)
	}
	hasSIB := m.Index != nil || base&7 == more
	if hasSIB {
		modRM = byte(register<<3 | more)
	}
	if base&7 == needsOffset {
		modRM |= 1 << 6 // an offset of one byte
	}
	code = append(prefix.bytes(), opcode, modRM)
	if hasSIB {
		code = append(code, index<<3|byte(base&7))
	}
	if base&7 == needsOffset {
		code = append(code, 0)
	}
	return code, text, nil
}

// addressRegister returns the number of a register of an address and its name in the GNU assembler.
func addressRegister(r reg.Register) (number int, name string, err error) {
	if r == nil || r.Kind() != reg.KindGP || r.Size() != 8 || reg.ToPhysical(r) == nil {
		return 0, "", fmt.Errorf("%v is no allocated register of 64 bits", r)
	}
	number = int(reg.ToPhysical(r).PhysicalIndex())
	if number > 7 {
		return number, fmt.Sprintf("%%r%d", number), nil
	}
	return number, "%" + [...]string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"}[number], nil
}
