package amd64

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// TestEncodings compares the bytes of every instruction, with every register in every place, with those that the GNU
// assembler makes of the same text.
func TestEncodings(t *testing.T) {
	if _, err := exec.LookPath("as"); err != nil {
		t.Skip("the GNU assembler is not installed")
	}
	var source strings.Builder
	var ours []byte
	forms := allForms()
	for opcode, encode := range encoders {
		if len(forms[opcode]) == 0 {
			t.Errorf("no forms of %s to compare", opcode)
		}
		for _, operands := range forms[opcode] {
			code, text, err := encode(operands)
			if err != nil {
				t.Fatalf("%s: %v", opcode, err)
			}
			ours = append(ours, code...)
			fmt.Fprintln(&source, text)
		}
	}
	theirs := assemble(t, source.String())
	for i := range min(len(ours), len(theirs)) {
		if ours[i] != theirs[i] {
			t.Fatalf("byte %d begins %x, the GNU assembler writes %x", i, ours[i:min(i+10, len(ours))], theirs[i:min(i+10, len(theirs))])
		}
	}
	if len(ours) != len(theirs) {
		t.Fatalf("%d bytes, the GNU assembler writes %d", len(ours), len(theirs))
	}
}

// allForms returns operands for every opcode of encoders.
func allForms() map[string][][]operand.Op {
	forms := map[string][][]operand.Op{}
	for x := range reg.Index(16) {
		for w := range reg.Index(16) {
			for sum := range reg.Index(16) {
				forms[dotBytesVEX] = append(forms[dotBytesVEX], []operand.Op{ymm(x), ymm(w), ymm(sum)})
			}
		}
	}
	forms[releaseTiles] = [][]operand.Op{{}}
	for tile := range Tile(8) {
		forms[zeroTile] = append(forms[zeroTile], []operand.Op{tile.operand()})
		for a := range Tile(8) {
			for b := range Tile(8) {
				if a == b || a == tile || b == tile {
					continue
				}
				operands := []operand.Op{b.operand(), a.operand(), tile.operand()}
				forms[dotTilesSU] = append(forms[dotTilesSU], operands)
				forms[dotTilesSS] = append(forms[dotTilesSS], operands)
			}
		}
	}
	for _, base := range reg.GeneralPurpose.Registers() {
		if base.Size() != 8 {
			continue
		}
		forms[configureTiles] = append(forms[configureTiles], []operand.Op{operand.Mem{Base: base}})
		for _, index := range reg.GeneralPurpose.Registers() {
			if index.Size() != 8 || index == reg.RSP {
				continue
			}
			for tile := range Tile(8) {
				memory := operand.Mem{Base: base, Index: index, Scale: 1}
				forms[loadTile] = append(forms[loadTile], []operand.Op{memory, tile.operand()})
				forms[storeTile] = append(forms[storeTile], []operand.Op{tile.operand(), memory})
			}
		}
	}
	return forms
}

func ymm(n reg.Index) reg.Register { return reg.Vector.Lookup(n, reg.S256) }

// TestEncodeRefuses gives operands that an instruction cannot have.
func TestEncodeRefuses(t *testing.T) {
	virtual := NewFile("test").For(AVXVNNI)
	y, p, tile := virtual.Vector(), virtual.GP64(), Tile(0).operand()
	for _, c := range []struct {
		opcode   string
		operands []operand.Op
	}{
		{dotBytesVEX, []operand.Op{ymm(16), ymm(0), ymm(0)}},
		{dotBytesVEX, []operand.Op{ymm(0), ymm(31), ymm(0)}},
		{dotBytesVEX, []operand.Op{ymm(0), ymm(0), ymm(16)}},
		{dotBytesVEX, []operand.Op{reg.X0, ymm(0), ymm(0)}},
		{dotBytesVEX, []operand.Op{ymm(0), y, ymm(0)}},
		{dotBytesVEX, []operand.Op{ymm(0), ymm(0), operand.Mem{Base: reg.RAX}}},
		{zeroTile, []operand.Op{Tile(8).operand()}},
		{configureTiles, []operand.Op{operand.Mem{Base: p}}},
		{configureTiles, []operand.Op{operand.Mem{Base: reg.RAX, Disp: 8}}},
		{configureTiles, []operand.Op{operand.Mem{Base: reg.RAX, Index: reg.RBX, Scale: 1}}},
		{loadTile, []operand.Op{operand.Mem{Base: reg.RAX}, tile}},
		{loadTile, []operand.Op{operand.Mem{Base: reg.RAX, Index: reg.RSP, Scale: 1}, tile}},
		{loadTile, []operand.Op{operand.Mem{Base: reg.RAX, Index: reg.RBX, Scale: 2}, tile}},
		{loadTile, []operand.Op{operand.Mem{Base: reg.RAX, Index: reg.RBX, Scale: 1, Disp: 64}, tile}},
		{loadTile, []operand.Op{operand.NewParamAddr("x", 8), tile}},
		{storeTile, []operand.Op{Tile(9).operand(), operand.Mem{Base: reg.RAX, Index: reg.RBX, Scale: 1}}},
		{dotTilesSU, []operand.Op{tile, Tile(1).operand(), Tile(8).operand()}},
		{dotTilesSU, []operand.Op{tile, tile, Tile(1).operand()}},
		{dotTilesSS, []operand.Op{tile, Tile(1).operand(), tile}},
		{dotTilesSS, []operand.Op{Tile(1).operand(), tile, tile}},
	} {
		if code, text, err := encoders[c.opcode](c.operands); err == nil {
			t.Errorf("%s %v: %x, %s", c.opcode, c.operands, code, text)
		}
	}
}

// assemble returns the bytes that the GNU assembler makes of a source.
func assemble(t *testing.T, source string) []byte {
	t.Helper()
	folder := t.TempDir()
	object, text := filepath.Join(folder, "o"), filepath.Join(folder, "text")
	for _, args := range [][]string{
		{"as", "--64", "-o", object, "-"},
		{"objcopy", "-O", "binary", "--only-section=.text", object, text},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(source)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%.500s", args, err, out)
		}
	}
	code, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	return code
}
