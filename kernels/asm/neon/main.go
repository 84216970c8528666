// Command neon generates the arm64 assembly of all kernels: kernels/matmul_arm64.s and kernels/rows_arm64.s, the declarations
// of their functions, and the tables by which package kernels finds the matrix products.
//
// What a kernel computes, and in which order, is defined by its plain-Go version in package kernels. Start reading at
// matmul.go and block.go; package arm64 says what a machine can do.
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"

	"github.com/tti-llm/tti/kernels/asm/arm64"
)

func main() {
	folder := flag.String("folder", ".", "`folder` of the generated files")
	flag.Parse()
	if err := write(*folder); err != nil {
		log.Fatal(err)
	}
}

// write generates all files into a folder.
func write(folder string) error {
	products := arm64.NewFile("neon", "matmul")
	tables := matMuls(products)
	if err := products.Write(folder); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "matmul_tables_arm64.go"), tables, 0o644); err != nil {
		return err
	}
	rows := arm64.NewFile("neon", "rows")
	rowKernels(rows)
	return rows.Write(folder)
}

// rowKernels generates everything but the matrix products.
func rowKernels(file *arm64.File) {
	quantize(file)
	for rows := range normRows {
		layerNorm(file, rows+1)
		rmsNorm(file, rows+1)
	}
	rotate(file)
	add(file)
	scale(file)
	for _, f := range activations {
		activate(file, f)
		gate(file, f)
	}
	softCap(file)
	for _, place := range placements {
		storeHalf(file, place)
		storeInt8(file, place)
	}
	argMax(file)
	threshold(file)
	collect(file)
	count(file)
	read(file)
	softmax(file, false)
	softmax(file, true)
	for _, c := range caches {
		for queries := range valueBlocks {
			scores(file, c, queries+1)
			weigh(file, c, queries+1)
		}
	}
}
