// Command rows generates the amd64 assembly of the kernels that are not matrix products: attention,
// layer norm, activations, quantization of activations and scans over a row.
//
// Each kernel is written once, for blocks of 16 float32, and generated for each machine: a block is one
// register of 64 bytes or two of 32. What a kernel computes, and in which order, is defined by
// its plain-Go version in package kernels. Start reading at machine.go.
package main

import (
	"flag"
	"log"

	"github.com/mmcloughlin/avo/operand"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

func main() {
	folder := flag.String("folder", ".", "`folder` of the generated files")
	flag.Parse()
	file := amd64.NewFile("rows")
	generate(file)
	if err := file.Write(*folder); err != nil {
		log.Fatal(err)
	}
}

// generate writes all kernels into a file.
func generate(file *amd64.File) {
	file.ConstraintExpr("amd64")
	tables := map[string]operand.Mem{}
	for _, k := range machines {
		m := newMachine(file, k, tables)
		quantize(m)
		for rows := range m.normRows {
			layerNorm(m, rows+1)
			rmsNorm(m, rows+1)
		}
		rotate(m)
		add(m)
		scale(m)
		for _, f := range activations {
			activate(m, f)
			gate(m, f)
		}
		softCap(m)
		for _, place := range placements {
			storeHalf(m, place)
			storeInt8(m, place)
		}
		argMax(m)
		threshold(m)
		collect(m)
		count(m)
		if m.read {
			read(m)
		}
		softmax(m, false)
		softmax(m, true)
		for _, c := range caches {
			for _, t := range m.scoreTiles {
				scores(m, c, t)
			}
			for _, t := range m.valueTiles[c.name] {
				weigh(m, c, t)
			}
		}
	}
}
