package arm64

import (
	"bytes"
	"fmt"
	"go/token"
	"go/types"
	"slices"
)

// A Register is a general register. Some are not handed out: R18 belongs to the platform, R27 to Go's assembler, R28 and
// up to Go's runtime and to calls.
type Register int

func (r Register) String() string { return fmt.Sprintf("R%d", int(r)) }

// A Vector is a vector register.
type Vector int

func (v Vector) String() string { return fmt.Sprintf("V%d", int(v)) }

const (
	vectors    = 32
	generalEnd = 27
	platform   = 18
)

// An Assembler writes functions for a machine into a file, one after the other.
type Assembler struct {
	*Machine
	file *File

	name      string
	doc       string
	signature string
	places    map[string]place // of parameters and results
	arguments int64            // bytes
	body      bytes.Buffer
	locals    int
	labels    int
	failed    bool

	general []Register // free ones, the next first
	vector  []Vector
	scopes  []scope // that are open
}

// scope is what has been taken since it was opened.
type scope struct {
	general []Register
	vector  []Vector
}

// place is where a parameter or result lies, from the frame's first argument.
type place struct {
	offset int64
	name   string // as Go's assembler and vet want it
}

// Begin begins a function. It must keep none of the pointers that it is given, since its declaration tells Go so.
func (a *Assembler) Begin(name, signature string) {
	a.name, a.signature, a.doc = name, signature, ""
	a.body.Reset()
	a.locals, a.labels, a.failed = 0, 0, false
	a.general, a.vector, a.scopes = nil, nil, nil
	for r := Register(0); r < generalEnd; r++ {
		if r != platform {
			a.general = append(a.general, r)
		}
	}
	for v := range Vector(vectors) {
		a.vector = append(a.vector, v)
	}
	a.layOut(signature)
}

// layOut finds the places of parameters and results, as the ABI of Go's assembly has them.
func (a *Assembler) layOut(signature string) {
	parsed, err := types.Eval(token.NewFileSet(), types.NewPackage("p", "p"), token.NoPos, signature)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", a.name, err))
	}
	function, sizes := parsed.Type.(*types.Signature), types.SizesFor("gc", "arm64")
	a.places, a.arguments = map[string]place{}, 0
	for _, list := range []*types.Tuple{function.Params(), function.Results()} {
		if list.Len() == 0 {
			continue
		}
		a.arguments = (a.arguments + 7) &^ 7
		var fields []*types.Var
		for v := range list.Variables() {
			fields = append(fields, v)
		}
		for i, offset := range sizes.Offsetsof(fields) {
			name := fields[i].Name()
			if name == "" {
				name = "ret"
			}
			a.place(name, a.arguments+offset, fields[i].Type())
		}
		last := len(fields) - 1
		a.arguments += sizes.Offsetsof(fields)[last] + sizes.Sizeof(fields[last].Type())
	}
}

// place notes where a variable lies, or each element of an array.
func (a *Assembler) place(name string, offset int64, t types.Type) {
	array, ok := t.Underlying().(*types.Array)
	if !ok {
		a.places[name] = place{offset, name}
		return
	}
	size := types.SizesFor("gc", "arm64").Sizeof(array.Elem())
	for i := range array.Len() {
		element := fmt.Sprintf("%s_%d", name, i)
		a.places[element] = place{offset + i*size, element}
	}
}

// Doc sets the comment of the function's declaration.
func (a *Assembler) Doc(format string, arguments ...any) { a.doc = fmt.Sprintf(format, arguments...) }

// End ends a function.
func (a *Assembler) End() {
	a.Go("RET")
	if len(a.scopes) > 0 {
		a.fail("a scope is open")
	}
	fmt.Fprintf(&a.file.stubs, "\n// %s\n//\n//go:noescape\nfunc %s%s\n", a.doc, a.name, a.signature[len("func"):])
	fmt.Fprintf(&a.file.assembly, "\n// func %s%s\nTEXT ·%s(SB), NOSPLIT, $%d-%d\n%s", a.name, a.signature[len("func"):], a.name,
		a.frame(), a.arguments, a.body.Bytes())
}

// frame returns the size of the function's frame: its locals begin 16 bytes above the stack pointer.
func (a *Assembler) frame() int {
	if a.locals == 0 {
		return 0
	}
	return a.locals + 16
}

// fail notes why the file cannot be written, once for each function.
func (a *Assembler) fail(format string, arguments ...any) {
	if !a.failed {
		a.failed = true
		a.file.errors = append(a.file.errors, fmt.Errorf("%s %s", a.name, fmt.Sprintf(format, arguments...)))
	}
}

// Go writes an instruction in the syntax of Go's assembler.
func (a *Assembler) Go(format string, operands ...any) {
	fmt.Fprintf(&a.body, "\t"+format+"\n", operands...)
}

// word writes an instruction by its bits, and by the syntax of GNU's assembler.
func (a *Assembler) word(bits uint32, format string, operands ...any) {
	fmt.Fprintf(&a.body, "\tWORD $0x%08x // %s\n", bits, fmt.Sprintf(format, operands...))
}

// needs fails if the machine does not have an extension.
func (a *Assembler) needs(extension string) {
	if !slices.Contains(a.Extensions, extension) {
		a.fail("needs %s", extension)
	}
}

// Local returns memory of the function, at a multiple of 16 bytes: an offset to the stack pointer, RSP.
func (a *Assembler) Local(bytes int) (offset int) {
	offset = 16 + a.locals
	a.locals += (bytes + 15) &^ 15
	return offset
}

// NewLabel returns a name for a label that the function does not have yet. Label puts it where it belongs.
func (a *Assembler) NewLabel(name string) string {
	a.labels++
	return fmt.Sprintf("%s%d", name, a.labels)
}

// Label puts a label here.
func (a *Assembler) Label(name string) { fmt.Fprintf(&a.body, "%s:\n", name) }

// Loop puts a label here, where a loop begins that most of the time is spent in, at the beginning of a block of 32 bytes.
func (a *Assembler) Loop(name string) {
	a.Go("PCALIGN $32")
	a.Label(name)
}

// Scope calls body and then takes back the registers that have been handed out meanwhile.
func (a *Assembler) Scope(body func()) {
	a.scopes = append(a.scopes, scope{})
	body()
	last := a.scopes[len(a.scopes)-1]
	a.scopes = a.scopes[:len(a.scopes)-1]
	for _, r := range last.general {
		a.general = insert(a.general, r)
	}
	a.FreeVectors(last.vector...)
}

func insert[T ~int](free []T, r T) []T {
	i, _ := slices.BinarySearch(free, r)
	if i < len(free) && free[i] == r {
		return free // given back before
	}
	return slices.Insert(free, i, r)
}

// Register returns a general register that nobody uses.
func (a *Assembler) Register() Register {
	if len(a.general) == 0 {
		a.fail("needs more general registers than there are")
		return 0
	}
	r := a.general[0]
	a.general = a.general[1:]
	if n := len(a.scopes); n > 0 {
		a.scopes[n-1].general = append(a.scopes[n-1].general, r)
	}
	return r
}

// Vector returns a vector register that nobody uses. They are handed out in turn, so that what follows need not wait for
// what went before on CPUs that do not rename registers.
func (a *Assembler) Vector() Vector { return a.Vectors(1)[0] }

// Vectors returns count vector registers.
func (a *Assembler) Vectors(count int) []Vector {
	if len(a.vector) < count {
		a.fail("needs more than %d vector registers", vectors)
		return make([]Vector, count)
	}
	taken := slices.Clone(a.vector[:count])
	a.vector = a.vector[count:]
	a.note(taken)
	return taken
}

// Consecutive returns count vector registers whose numbers follow each other.
func (a *Assembler) Consecutive(count int) []Vector {
	for i := 0; i+count <= len(a.vector); i++ {
		if a.vector[i+count-1]-a.vector[i] == Vector(count-1) {
			taken := slices.Clone(a.vector[i : i+count])
			a.vector = slices.Delete(a.vector, i, i+count)
			a.note(taken)
			return taken
		}
	}
	a.fail("needs %d vector registers in a row", count)
	return make([]Vector, count)
}

func (a *Assembler) note(taken []Vector) {
	if n := len(a.scopes); n > 0 {
		a.scopes[n-1].vector = append(a.scopes[n-1].vector, taken...)
	}
}

// FreeVectors takes registers back before their scope ends.
func (a *Assembler) FreeVectors(registers ...Vector) {
	for _, v := range registers {
		a.vector = insert(a.vector, v)
	}
}

// FreeVectorCount returns how many vector registers nobody uses.
func (a *Assembler) FreeVectorCount() int { return len(a.vector) }

// Argument returns the operand of a parameter or a result by its name: elements of arrays are called name_0, name_1, ...,
// results without a name ret.
func (a *Assembler) Argument(name string) string {
	p, ok := a.places[name]
	if !ok {
		panic(fmt.Sprintf("%s has no parameter %s", a.name, name))
	}
	return fmt.Sprintf("%s+%d(FP)", p.name, p.offset)
}

// Parameter loads a parameter of 8 bytes into a new register.
func (a *Assembler) Parameter(name string) Register {
	r := a.Register()
	a.Go("MOVD %s, %v", a.Argument(name), r)
	return r
}

// Table makes read-only words that the functions of the file can load, unless they are there already, and returns a new
// register with their address. Names are the file's own.
func (a *Assembler) Table(name string, words []uint32) Register {
	symbol := a.file.name + "_" + name
	if !a.file.tables[name] {
		a.file.tables[name] = true
		for i, w := range words {
			fmt.Fprintf(&a.file.assembly, "DATA %s<>+%d(SB)/4, $0x%08x\n", symbol, 4*i, w)
		}
		fmt.Fprintf(&a.file.assembly, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", symbol, 4*len(words))
	}
	r := a.Register()
	a.Go("MOVD $%s<>(SB), %v", symbol, r)
	return r
}
