package arm64

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// function returns a file with one function for a machine.
func function(m *Machine, signature string, body func(a *Assembler)) *File {
	f := NewFile("test", "test")
	a := f.For(m)
	a.Begin("f"+m.Name, signature)
	body(a)
	a.End()
	return f
}

func TestWriteRefusesWhatTheMachineLacks(t *testing.T) {
	for _, c := range []struct {
		name, refusal string
		machine       *Machine
		body          func(a *Assembler)
	}{
		{"dot product", "fNEON needs dotprod", NEON, func(a *Assembler) { a.SDOT(0, 1, 2, 3) }},
		{"matrix product", "fDotProd needs i8mm", DotProd, func(a *Assembler) { a.USMMLA(0, 1, 2) }},
		{"vector registers", "fNEON needs more than 32 vector registers", NEON, func(a *Assembler) { a.Vectors(32); a.Vector() }},
		{"general registers", "fNEON needs more general registers than there are", NEON, func(a *Assembler) {
			for range 27 {
				a.Register()
			}
		}},
		{"registers in a row", "fNEON needs 2 vector registers in a row", NEON, func(a *Assembler) {
			v := a.Vectors(32)
			a.FreeVectors(v[1], v[3], v[30])
			a.Consecutive(2)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			if err := function(c.machine, "func()", c.body).Write(folder); err == nil || !strings.Contains(err.Error(), c.refusal) {
				t.Errorf("error %v, want %q", err, c.refusal)
			}
			if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
				t.Errorf("%d files were written (%v)", len(entries), err)
			}
		})
	}
}

// TestArguments: the places are those of Go's ABI0, as vet knows them for such a function.
func TestArguments(t *testing.T) {
	function(NEON, "func(p *byte, n int, x float32, ends [3]int) (a uint32, b int)", func(a *Assembler) {
		var got []string
		for _, name := range []string{"p", "n", "x", "ends_0", "ends_2", "a", "b"} {
			got = append(got, a.Argument(name))
		}
		want := []string{"p+0(FP)", "n+8(FP)", "x+16(FP)", "ends_0+24(FP)", "ends_2+40(FP)", "a+48(FP)", "b+56(FP)"}
		if !slices.Equal(got, want) || a.arguments != 64 {
			t.Errorf("%v and %d bytes, want %v and 64", got, a.arguments, want)
		}
	})
	function(NEON, "func(p *byte) float32", func(a *Assembler) {
		if got := a.Argument("ret"); got != "ret+8(FP)" || a.arguments != 12 {
			t.Errorf("the result is at %s of %d bytes", got, a.arguments)
		}
	})
}

// TestScopes: registers come back once, whoever gives them back.
func TestScopes(t *testing.T) {
	function(NEON, "func()", func(a *Assembler) {
		kept := a.Vectors(3)
		a.Scope(func() {
			v := a.Vectors(20)
			a.Register()
			a.FreeVectors(v[:5]...)
			a.Scope(func() { a.Vectors(14) })
		})
		rest := a.Vectors(29)
		all := append(slices.Clone(kept), rest...)
		slices.Sort(all)
		if len(slices.Compact(all)) != 32 || a.Register() != 0 {
			t.Errorf("after a scope there are %v besides %v", rest, kept)
		}
	})
}
