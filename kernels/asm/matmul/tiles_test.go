package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"

	"github.com/tti-llm/tti/kernels/asm/amd64"
)

// TestTilesOnTheModel runs the kernels of AMX, which few machines have, on a model of the CPU, and compares what they
// write with the product by its definition, bit for bit. Kernels of AVX-512, which tests of package kernels run on real
// CPUs, go through the same, to try the model.
func TestTilesOnTheModel(t *testing.T) {
	file := amd64.NewFile("test")
	generate(file)
	compiled, err := file.Compile()
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]*ir.Function{}
	for _, f := range compiled.Functions() {
		functions[f.Name] = f
	}
	tried := 0
	for _, m := range machines {
		if m.Machine != amd64.AMX && m.Machine != amd64.AVX512 {
			continue
		}
		for _, p := range m.products[:2] { // int8, int4
			e := p.encoding(m.Machine)
			for i, counts := range p.panels {
				for _, panels := range counts {
					k := kernel{Assembler: file.For(m.Machine), encoding: e, panels: panels, tokens: i + 1}
					t.Run(k.name(), func(t *testing.T) {
						for groups := 1; groups < 7; groups++ {
							onTheModel(t, functions[k.name()], &k, groups, 1+groups%2)
						}
					})
					tried++
				}
			}
		}
	}
	if tried < 18 {
		t.Errorf("only %d kernels were tried", tried)
	}
}

// onTheModel runs a kernel on random numbers.
func onTheModel(t *testing.T, f *ir.Function, k *kernel, groups, tiles int) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(groups), uint64(k.tokens)))
	panels, columns := k.panels*tiles, groups*groupColumns
	rows := panels * panelRows
	float := func() float32 { return float32(random.NormFloat64() * math.Exp2(float64(random.IntN(20)-10))) }
	codes := make([]byte, panels*groups*k.groupBytes())
	for i := range codes {
		codes[i] = byte(random.Uint32())
	}
	var scales []byte
	scale := make([]float32, rows) // of int8, by row
	for i := range scale {
		scale[i] = float()
		if k.rowScales {
			scales = binary.LittleEndian.AppendUint32(scales, math.Float32bits(scale[i]))
		}
	}
	if !k.rowScales {
		for range rows * groups {
			scales = binary.LittleEndian.AppendUint16(scales, uint16(1+random.IntN(30))<<10|uint16(random.IntN(1024))|uint16(random.IntN(2))<<15)
		}
	}
	x := make([]byte, k.tokens*columns)
	xScales, xSums := make([]float32, k.tokens*groups), make([]uint32, k.tokens*groups)
	for i := range x {
		x[i] = byte(random.IntN(255) - 127)
		xSums[i/groupColumns] += uint32(int32(int8(x[i])))
	}
	for i := range xScales {
		xScales[i] = float()
	}
	bias := make([]float32, rows)
	for i := range bias {
		bias[i] = float()
	}
	const outStride = 5 // more than the rows
	out := make([]byte, 4*k.tokens*(rows+outStride))

	var c cpu
	c.run(f, c.allocate(codes), c.allocate(scales), c.allocate(x), c.allocate(floatBytes(xScales)), c.allocate(wordBytes(xSums)),
		c.allocate(floatBytes(bias)), c.allocate(out), uint64(4*(rows+outStride)), uint64(groups), uint64(tiles), 0)

	for token := range k.tokens {
		for row := range rows + outStride {
			var want float32 // behind the rows nothing is written
			if row < rows {
				for g := range groups {
					sx := xScales[token*groups+g]
					if !k.rowScales {
						sx *= half(binary.LittleEndian.Uint16(scales[2*((row/panelRows*groups+g)*panelRows+row%panelRows):]))
					}
					var dot int32
					for i := range groupColumns {
						column := g*groupColumns + i
						dot += weightCode(k, codes, groups, row, column) * int32(int8(x[token*columns+column]))
					}
					want = fma(sx, float32(dot), want)
				}
				if k.rowScales {
					want = float32(want * scale[row]) // not fused with the bias
				}
				want += bias[row]
			}
			got := math.Float32frombits(binary.LittleEndian.Uint32(out[4*(token*(rows+outStride)+row):]))
			if math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("%d groups, %d tiles: token %d, row %d is %v, want %v", groups, tiles, token, row, got, want)
			}
		}
	}
	for i, tile := range c.tiles {
		if tile.rows > 0 {
			t.Fatalf("tile %d is still in use", i)
		}
	}
}

// weightCode returns what the code of a weight stands for, by format/FORMAT.md.
func weightCode(k *kernel, codes []byte, groups, row, column int) int32 {
	code := codes[row/panelRows*groups*k.groupBytes()+column/k.columns*lineBytes+row%panelRows*4+column%4]
	switch {
	case k.columns == 4:
		return int32(code) - 128
	case column%8 < 4:
		return int32(code&15) - 8
	}
	return int32(code>>4) - 8
}

func floatBytes(values []float32) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func wordBytes(values []uint32) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// TestModelKnowsFaults: the model would not notice what the kernels must not do, otherwise.
func TestModelKnowsFaults(t *testing.T) {
	for name, do := range map[string]func(c *cpu){
		"memory that nobody gave it": func(c *cpu) { c.at(c.allocate(make([]byte, 64))+1, 64) },
		"a tile without a size":      func(c *cpu) { c.tile(operand.U8(3)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was no fault", name)
				}
			}()
			do(new(cpu))
		}()
	}
}
