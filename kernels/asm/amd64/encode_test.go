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
	return forms
}

func ymm(n reg.Index) reg.Register { return reg.Vector.Lookup(n, reg.S256) }

// TestEncodeRefuses gives operands that an instruction cannot have.
func TestEncodeRefuses(t *testing.T) {
	virtual := NewFile("test").For(AVXVNNI).Vector()
	for _, operands := range [][]operand.Op{
		{ymm(16), ymm(0), ymm(0)},
		{ymm(0), ymm(31), ymm(0)},
		{ymm(0), ymm(0), ymm(16)},
		{reg.X0, ymm(0), ymm(0)},
		{ymm(0), virtual, ymm(0)},
		{ymm(0), ymm(0), operand.Mem{Base: reg.RAX}},
	} {
		if code, text, err := encodeDotBytes(operands); err == nil {
			t.Errorf("%v: %x, %s", operands, code, text)
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
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	code, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	return code
}
