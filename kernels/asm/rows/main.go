// Command rows generates the amd64 assembly of the kernels that are not matrix products: attention,
// layer norm, activations, quantization of activations and scans over a row.
//
// Each kernel is written once, for blocks of 16 float32, and generated twice: a block is one
// register with AVX-512 and two with AVX2. What a kernel computes, and in which order, is defined by
// its plain-Go version in package kernels. Start reading at machine.go.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
)

func main() {
	arguments := flag.NewFlagSet("rows", flag.ExitOnError)
	flags := build.NewFlags(arguments)
	_ = arguments.Parse(os.Args[1:])

	context := build.NewContext()
	context.ConstraintExpr("amd64")
	for _, m := range machines(context) {
		quantize(m)
		for rows := range m.normRows {
			layerNorm(m, rows+1)
		}
		add(m)
		scale(m)
		geluTanh(m)
		geluErf(m)
		relu(m)
		for _, place := range placements {
			storeHalf(m, place)
			storeInt8(m, place)
		}
		argMax(m)
		threshold(m)
		collect(m)
		count(m)
		if !m.wide { // one is enough: with registers of 64 bytes it is slower, see kernels/README.md
			read(m)
		}
		softmax(m, false)
		softmax(m, true)
		for _, c := range caches {
			for _, t := range m.scoreTiles {
				scores(m, c, t)
			}
			for _, t := range m.valueTiles {
				if m.wide && c.name == "F16" && t.queries <= 2 {
					continue // those of AVX2 are used: conversions to half a register are faster
				}
				weigh(m, c, t)
			}
		}
	}

	config := flags.Config()
	check := pass.FunctionPass(checkExtensions)
	config.Passes = slices.Insert(config.Passes, 1, pass.Interface(check)) // between compiling and printing
	os.Exit(build.Main(config, context))
}

// extensions lists what a kernel may use, by the suffix of its name.
var extensions = map[string][]string{
	"AVX512": {"AVX", "AVX2", "AVX512BW", "AVX512DQ", "AVX512F", "AVX512VL", "CMOV", "F16C", "FMA3", "POPCNT", "SSE", "SSE2"},
	"AVX2":   {"AVX", "AVX2", "CMOV", "F16C", "FMA3", "POPCNT", "SSE", "SSE2"},
}

// checkExtensions fails for a function that needs more than it may use. avo chooses the forms of
// instructions, and silently takes one of AVX-512 where operands fit no other.
func checkExtensions(f *ir.Function) error {
	for suffix, allowed := range extensions {
		if !strings.HasSuffix(f.Name, suffix) {
			continue
		}
		for _, needed := range f.ISA {
			if !slices.Contains(allowed, needed) {
				return fmt.Errorf("%s needs %s", f.Name, needed)
			}
		}
		return nil
	}
	return fmt.Errorf("%s names no extension", f.Name)
}
