// Package arm64 holds what the generator of arm64 assembly is written with: the machines that it generates for, their
// instructions and registers, and the files that it writes.
//
// Go's assembler knows few vector instructions. All but loads and stores are therefore written as words, with GNU's syntax
// behind them, and a test compares each word with what GNU's assembler makes of that syntax.
package arm64

// A Machine is a set of instructions that functions are generated for, on top of ARMv8.0 with its 32 vector registers of 16
// bytes. Which CPUs have it is decided in package kernels, cpu_arm64.go.
type Machine struct {
	Name string // part of the names of its functions
	// Extensions are those that its functions may use, as GNU's assembler calls them. Writing a file fails for functions
	// that use others.
	Extensions []string
}

var (
	NEON    = &Machine{Name: "NEON"}
	DotProd = &Machine{Name: "DotProd", Extensions: []string{"dotprod"}}
	I8MM    = &Machine{Name: "I8MM", Extensions: []string{"dotprod", "i8mm"}}
)

// RegisterBytes is the size of a vector register.
const RegisterBytes = 16
