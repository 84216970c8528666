package amd64

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// Package is the Go package that the functions belong to.
const Package = "kernels"

// A File is one assembly file with the functions of a generator, for any of the machines.
type File struct {
	*build.Context
	name     string
	machines map[string]*Machine // by function
}

// NewFile returns an empty file of the generator kernels/asm/<name>.
func NewFile(name string) *File {
	return &File{Context: build.NewContext(), name: name, machines: map[string]*Machine{}}
}

// For returns what writes functions for a machine into the file.
func (f *File) For(m *Machine) *Assembler { return &Assembler{Context: f.Context, Machine: m, file: f} }

// GeneratedBy returns the name of the generator, for the first line of what it writes.
func (f *File) GeneratedBy() string { return "kernels/asm/" + f.name }

// Write writes <name>_amd64.s and its declarations, <name>_stubs_amd64.go, into a folder. It writes nothing if a
// function needs what its machine does not have.
func (f *File) Write(folder string) error {
	assembly, stubs, err := f.print()
	if err != nil {
		return fmt.Errorf("generate %s: %w", f.name, err)
	}
	if err := os.WriteFile(filepath.Join(folder, f.name+"_amd64.s"), assembly, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, f.name+"_stubs_amd64.go"), stubs, 0o644)
}

// print returns the assembly and the declarations of its functions.
func (f *File) print() (assembly, stubs []byte, err error) {
	file, err := f.Compile()
	if err != nil {
		return nil, nil, err
	}
	if err := pass.FunctionPass(encode).Execute(file); err != nil {
		return nil, nil, err
	}
	config := printer.Config{Name: f.GeneratedBy(), Pkg: Package}
	if assembly, err = printer.NewGoAsm(config).Print(file); err != nil {
		return nil, nil, err
	}
	stubs, err = printer.NewStubs(config).Print(file)
	return assembly, stubs, err
}

// Compile returns the functions with registers allocated. It can be called once, instead of Write.
func (f *File) Compile() (*ir.File, error) {
	file, err := f.Result()
	if err != nil {
		return nil, err
	}
	return file, pass.Concat(pass.Compile, pass.FunctionPass(f.check)).Execute(file)
}

// check fails for a function that its machine cannot run. avo chooses the form of an instruction by its operands, and so
// takes one of AVX-512 where no other fits; and it gives every function 32 vector registers.
func (f *File) check(function *ir.Function) error {
	m, ok := f.machines[function.Name]
	if !ok {
		return fmt.Errorf("%s is for no machine", function.Name)
	}
	for _, extension := range function.ISA {
		if !slices.Contains(m.Extensions, extension) {
			return fmt.Errorf("%s needs %s", function.Name, extension)
		}
	}
	for _, i := range function.Instructions() {
		for _, r := range i.Registers() {
			if p := reg.ToPhysical(r); r.Kind() == reg.KindVector && int(p.PhysicalIndex()) >= m.Registers {
				return fmt.Errorf("%s needs more than %d vector registers", function.Name, m.Registers)
			}
		}
	}
	return nil
}
