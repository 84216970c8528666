package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A cpu is a model of the CPU in plain Go: it does what Intel's manual says that the instructions of some kernels do. It
// is how kernels are tried for which there is no CPU at hand. It panics at what it does not know.
type cpu struct {
	general [16]uint64
	vector  [32][64]byte
	tiles   [8]struct {
		rows, rowBytes int // 0 unless configured
		data           [16][64]byte
	}
	memory []region
	less   bool // of the last comparison, signed
	below  bool // unsigned
	zero   bool // of the last comparison or count

	stackPointer, framePointer uint64
}

// A region is memory that may be touched.
type region struct {
	start uint64
	bytes []byte
}

// allocate gives the model memory, far from all other.
func (c *cpu) allocate(bytes []byte) (address uint64) {
	address = uint64(len(c.memory)+1) << 32
	c.memory = append(c.memory, region{address, bytes})
	return address
}

// at returns n bytes of memory.
func (c *cpu) at(address uint64, n int) []byte {
	for _, r := range c.memory {
		if o := address - r.start; address >= r.start && o+uint64(n) <= uint64(len(r.bytes)) {
			return r.bytes[o:][:n]
		}
	}
	panic(fmt.Sprintf("%d bytes at %#x are not the kernel's", n, address))
}

// run calls a function. Arguments lie in the order of its parameters, eight bytes each.
func (c *cpu) run(f *ir.Function, arguments ...uint64) {
	frame := make([]byte, 8*len(arguments))
	for i, a := range arguments {
		binary.LittleEndian.PutUint64(frame[8*i:], a)
	}
	stack := make([]byte, f.FrameBytes())
	for i := range stack {
		stack[i] = 0xa5 // whatever was there
	}
	c.framePointer, c.stackPointer = c.allocate(frame), c.allocate(stack)
	labels := map[ir.Label]int{}
	for n, node := range f.Nodes {
		if l, ok := node.(ir.Label); ok {
			labels[l] = n
		}
	}
	for n := 0; ; n++ {
		i, ok := f.Nodes[n].(*ir.Instruction)
		if !ok {
			continue
		}
		if i.Opcode == "RET" {
			return
		}
		if i.IsBranch {
			if branches[i.Opcode](c) {
				n = labels[*i.TargetLabel()]
			}
			continue
		}
		execute, ok := semantics[i.OpcodeWithSuffixes()]
		if !ok {
			panic("the model does not know " + i.OpcodeWithSuffixes())
		}
		execute(c, i.Operands)
	}
}

var branches = map[string]func(c *cpu) bool{
	"JLT": func(c *cpu) bool { return c.less },
	"JGT": func(c *cpu) bool { return !c.less && !c.zero },
	"JCC": func(c *cpu) bool { return !c.below },
	"JEQ": func(c *cpu) bool { return c.zero },
	"JNZ": func(c *cpu) bool { return !c.zero },
}

// address returns the address that an operand stands for.
func (c *cpu) address(m operand.Mem) uint64 {
	var a uint64
	switch m.Base {
	case reg.FramePointer:
		a = c.framePointer
	case reg.StackPointer:
		a = c.stackPointer
	default:
		a = c.general[number(m.Base)]
	}
	if m.Index != nil {
		a += c.general[number(m.Index)] * uint64(m.Scale)
	}
	return a + uint64(m.Disp)
}

func number(o operand.Op) int { return int(reg.ToPhysical(o.(reg.Register)).PhysicalIndex()) }

// integer returns the value of a general register, a constant or eight bytes of memory.
func (c *cpu) integer(o operand.Op) uint64 {
	switch o := o.(type) {
	case operand.Mem:
		return binary.LittleEndian.Uint64(c.at(c.address(o), 8))
	case reg.Register:
		return c.general[number(o)]
	case operand.U8:
		return uint64(o)
	case operand.U32:
		return uint64(o)
	case operand.U64:
		return uint64(o)
	case operand.I8:
		return uint64(int64(o))
	case operand.I32:
		return uint64(int64(o))
	}
	panic(fmt.Sprintf("%T is no integer", o))
}

// setInteger writes a general register or memory, of a number of bytes.
func (c *cpu) setInteger(o operand.Op, v uint64, bytes int) {
	if m, ok := o.(operand.Mem); ok {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		copy(c.at(c.address(m), bytes), b[:bytes])
		return
	}
	if bytes < 8 {
		v &= 1<<(8*bytes) - 1 // the upper half of a register is cleared
	}
	c.general[number(o)] = v
}

// bytes returns n bytes of a vector register or of memory.
func (c *cpu) bytes(o operand.Op, n int) []byte {
	if m, ok := o.(operand.Mem); ok {
		return c.at(c.address(m), n)
	}
	return c.vector[number(o)][:n]
}

// words returns the sixteen lanes of a register of 64 bytes or of memory.
func (c *cpu) words(o operand.Op) (w [16]uint32) {
	for i, b := 0, c.bytes(o, 64); i < 16; i++ {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

// broadcast returns a number in memory for all lanes.
func (c *cpu) broadcast(o operand.Op) (w [16]uint32) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(c.bytes(o, 4))
	}
	return w
}

func (c *cpu) setWords(o operand.Op, w [16]uint32) {
	var b [64]byte
	for i, v := range w {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	copy(c.bytes(o, 64), b[:])
}

// lanes returns an instruction that computes each lane of its last operand from that lane of the others.
func lanes(f func(a, b, c uint32) uint32) func(c *cpu, o []operand.Op) {
	return func(c *cpu, o []operand.Op) {
		a, b, last := c.words(o[0]), [16]uint32{}, o[len(o)-1]
		if len(o) > 2 {
			b = c.words(o[1])
		}
		result := c.words(last)
		for i := range result {
			result[i] = f(a[i], b[i], result[i])
		}
		c.setWords(last, result)
	}
}

// broadcasting returns an instruction whose first operand is one number in memory.
func broadcasting(f func(a, b, c uint32) uint32) func(c *cpu, o []operand.Op) {
	return func(c *cpu, o []operand.Op) {
		a, b, result := c.broadcast(o[0]), c.words(o[1]), c.words(o[2])
		for i := range result {
			result[i] = f(a[i], b[i], result[i])
		}
		c.setWords(o[2], result)
	}
}

func floatLanes(f func(a, b, c float32) float32) func(a, b, c uint32) uint32 {
	return func(a, b, c uint32) uint32 {
		return math.Float32bits(f(math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c)))
	}
}

// shifted returns an instruction that shifts lanes of a register by a constant.
func shifted(f func(x uint32, count uint64) uint32) func(c *cpu, o []operand.Op) {
	return func(c *cpu, o []operand.Op) {
		w := c.words(o[1])
		for i := range w {
			w[i] = f(w[i], c.integer(o[0]))
		}
		c.setWords(o[2], w)
	}
}

// semantics has what the model knows, by Go's name with its suffix. Operands are in Go's order.
var semantics = map[string]func(c *cpu, o []operand.Op){
	"MOVQ":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.integer(o[0]), 8) },
	"MOVL":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.integer(o[0]), 4) },
	"MOVB":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.integer(o[0]), 1) },
	"LEAQ":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.address(o[0].(operand.Mem)), 8) },
	"ADDQ":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.integer(o[1])+c.integer(o[0]), 8) },
	"ANDQ":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.integer(o[1])&c.integer(o[0]), 8) },
	"XORQ":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.integer(o[1])^c.integer(o[0]), 8) },
	"SHLQ":   func(c *cpu, o []operand.Op) { c.setInteger(o[1], c.integer(o[1])<<c.integer(o[0]), 8) },
	"IMUL3Q": func(c *cpu, o []operand.Op) { c.setInteger(o[2], c.integer(o[1])*c.integer(o[0]), 8) },
	"DECQ": func(c *cpu, o []operand.Op) {
		c.setInteger(o[0], c.integer(o[0])-1, 8)
		c.zero = c.integer(o[0]) == 0
	},
	"CMPQ": func(c *cpu, o []operand.Op) {
		a, b := c.integer(o[0]), c.integer(o[1])
		c.zero, c.less, c.below = a == b, int64(a) < int64(b), a < b
	},

	"PREFETCHT1":  func(*cpu, []operand.Op) {},
	"PREFETCHNTA": func(*cpu, []operand.Op) {},
	"PCALIGN":     func(*cpu, []operand.Op) {},
	"VZEROUPPER":  func(*cpu, []operand.Op) {},

	"VMOVUPS":   func(c *cpu, o []operand.Op) { copy(c.bytes(o[1], 64), c.bytes(o[0], 64)) },
	"VMOVDQU32": func(c *cpu, o []operand.Op) { copy(c.bytes(o[1], 64), c.bytes(o[0], 64)) },
	"VMOVD": func(c *cpu, o []operand.Op) {
		c.setWords(zmm(o[1]), [16]uint32{uint32(c.integer(o[0]))})
	},
	"VPBROADCASTD": func(c *cpu, o []operand.Op) { c.setWords(o[1], c.broadcast(o[0])) },
	"VBROADCASTSS": func(c *cpu, o []operand.Op) { c.setWords(o[1], c.broadcast(o[0])) },

	"VPXORD": lanes(func(a, b, _ uint32) uint32 { return a ^ b }),
	"VPANDD": lanes(func(a, b, _ uint32) uint32 { return a & b }),
	"VPADDD": lanes(func(a, b, _ uint32) uint32 { return a + b }),
	"VPSUBD": lanes(func(a, b, _ uint32) uint32 { return b - a }),
	"VPSLLD": shifted(func(x uint32, count uint64) uint32 { return x << count }),
	"VPSRLW": shifted(func(x uint32, count uint64) uint32 { return x>>16>>count<<16 | x&0xffff>>count }),
	"VPDPBUSD": lanes(func(a, b, sum uint32) uint32 {
		for i := 0; i < 32; i += 8 {
			sum += uint32(int32(int8(a>>i)) * int32(uint8(b>>i)))
		}
		return sum
	}),

	"VCVTDQ2PS":        lanes(func(a, _, _ uint32) uint32 { return math.Float32bits(float32(int32(a))) }),
	"VADDPS":           lanes(floatLanes(func(a, b, _ float32) float32 { return a + b })),
	"VMULPS":           lanes(floatLanes(func(a, b, _ float32) float32 { return a * b })),
	"VMULPS.BCST":      broadcasting(floatLanes(func(a, b, _ float32) float32 { return a * b })),
	"VFMADD231PS":      lanes(floatLanes(fma)),
	"VFMADD231PS.BCST": broadcasting(floatLanes(fma)),
	"VFMADD213PS":      lanes(floatLanes(func(a, b, c float32) float32 { return fma(b, c, a) })),
	"VCVTPH2PS": func(c *cpu, o []operand.Op) {
		var w [16]uint32
		for i, b := 0, c.bytes(o[0], 32); i < 16; i++ {
			w[i] = math.Float32bits(half(binary.LittleEndian.Uint16(b[2*i:])))
		}
		c.setWords(o[1], w)
	},

	"LDTILECFG": func(c *cpu, o []operand.Op) {
		config := c.bytes(o[0], 64)
		if config[0] != 1 {
			panic("the palette is not 1")
		}
		for t := range c.tiles {
			c.tiles[t].rows, c.tiles[t].rowBytes = int(config[48+t]), int(binary.LittleEndian.Uint16(config[16+2*t:]))
			if c.tiles[t].rows > 16 || c.tiles[t].rowBytes > 64 {
				panic("a tile is too large")
			}
			c.tiles[t].data = [16][64]byte{}
		}
	},
	"TILERELEASE": func(c *cpu, _ []operand.Op) {
		for t := range c.tiles {
			c.tiles[t].rows = 0
		}
	},
	"TILEZERO": func(c *cpu, o []operand.Op) { c.tiles[c.tile(o[0])].data = [16][64]byte{} },
	"TILELOADD": func(c *cpu, o []operand.Op) {
		t := &c.tiles[c.tile(o[1])]
		for row := range t.rows {
			copy(t.data[row][:], c.tileRow(o[0], row, t.rowBytes))
		}
	},
	"TILESTORED": func(c *cpu, o []operand.Op) {
		t := &c.tiles[c.tile(o[0])]
		for row := range t.rows {
			copy(c.tileRow(o[1], row, t.rowBytes), t.data[row][:])
		}
	},
	"TDPBSUD": dotTiles(func(b byte) int32 { return int32(b) }),
	"TDPBSSD": dotTiles(func(b byte) int32 { return int32(int8(b)) }),
}

// tile returns the number of a configured tile.
func (c *cpu) tile(o operand.Op) int {
	t := int(c.integer(o))
	if c.tiles[t].rows == 0 {
		panic("a tile is not configured")
	}
	return t
}

// tileRow returns a row of a tile in memory.
func (c *cpu) tileRow(o operand.Op, row, n int) []byte {
	m := o.(operand.Mem)
	stride := c.general[number(m.Index)]
	return c.at(c.general[number(m.Base)]+uint64(row)*stride, n)
}

// dotTiles returns a dot product of a tile of signed bytes, the second operand, with one of bytes that value reads.
func dotTiles(value func(b byte) int32) func(c *cpu, o []operand.Op) {
	return func(c *cpu, o []operand.Op) {
		w, x, sum := &c.tiles[c.tile(o[0])], &c.tiles[c.tile(o[1])], &c.tiles[c.tile(o[2])]
		if x.rows != sum.rows || w.rowBytes != sum.rowBytes || x.rowBytes != 4*w.rows {
			panic("tiles of sizes that do not fit")
		}
		for m := range sum.rows {
			for n := range sum.rowBytes / 4 {
				s := binary.LittleEndian.Uint32(sum.data[m][4*n:])
				for k := range x.rowBytes {
					s += uint32(int32(int8(x.data[m][k])) * value(w.data[k/4][4*n+k%4]))
				}
				binary.LittleEndian.PutUint32(sum.data[m][4*n:], s)
			}
		}
	}
}

// zmm returns the whole of a vector register.
func zmm(o operand.Op) reg.Register { return reg.Vector.Lookup(reg.Index(number(o)), reg.S512) }

// fma returns x*y+z, rounded once.
func fma(x, y, z float32) float32 {
	const enough = 1000 // bits: the sum of a product and a float32 is exact
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(enough).SetFloat64(float64(v)) }
	product := exact(x)
	product.Mul(product, exact(y))
	f, _ := product.Add(product, exact(z)).Float32()
	return f
}

// half returns a binary16 that is neither subnormal nor infinite.
func half(b uint16) float32 {
	v := math.Ldexp(1+float64(b&0x3ff)/1024, int(b>>10&31)-15)
	if b>>15 == 1 {
		v = -v
	}
	return float32(v)
}
