package main

import (
	"fmt"
	"math"

	"github.com/tti-llm/tti/kernels/asm/arm64"
)

// The kernels that are not matrix products take blocks of 16 float32, over which sums run: four registers.
const (
	blockLanes     = 16
	blockBytes     = 4 * blockLanes
	blockRegisters = blockBytes / arm64.RegisterBytes
)

// A writer writes them. It is for one function: see function.
type writer struct {
	*arm64.Assembler
	scratch int // a block in the frame
}

// function writes a function of ARMv8.0.
func function(file *arm64.File, name, signature, doc string, body func(m *writer)) {
	m := &writer{Assembler: file.For(arm64.NEON)}
	name += arm64.NEON.Name
	m.Begin(name, signature)
	m.Doc("%s %s", name, doc)
	m.scratch = m.Local(blockBytes)
	body(m)
	m.End()
}

// block is 16 float32 or int32.
type block []arm64.Vector

// block returns new registers for a block.
func (m *writer) block() block { return m.Vectors(blockRegisters) }

// zeros returns a block of zeros.
func (m *writer) zeros() block {
	b := m.block()
	m.Clear(b...)
	return b
}

// A tail is the last block of a row that is not whole. A nil tail stands for a whole block.
type tail struct {
	left arm64.Register // how many elements there are, 1 to 15
}

// eachBlock generates a loop over the blocks of rows of n elements, in ascending order. It calls body twice: for what is done
// with each whole block, and for what is done with the last one if it is not whole. The pointers say where the block begins in
// each row; those given stay as they are.
func (m *writer) eachBlock(n arm64.Register, rows []arm64.Register, body func(p []arm64.Register, t *tail)) {
	m.Scope(func() {
		loop, rest, done := m.NewLabel("block"), m.NewLabel("rest"), m.NewLabel("done")
		p := make([]arm64.Register, len(rows))
		for i, r := range rows {
			p[i] = m.copy(r)
		}
		whole := m.Register()
		m.Go("LSR $4, %v, %v", n, whole)
		m.Go("CBZ %v, %s", whole, rest)
		m.Loop(loop)
		m.Scope(func() { body(p, nil) })
		for _, r := range p {
			m.Add(r, blockBytes)
		}
		m.Go("SUBS $1, %v", whole)
		m.Go("BNE %s", loop)
		m.Label(rest)
		left := m.Register()
		m.Go("ANDS $%d, %v, %v", blockLanes-1, n, left)
		m.Go("BEQ %s", done)
		m.Scope(func() { body(p, &tail{left}) })
		m.Label(done)
	})
}

// eachMask calls body with a mask for each register of a block: ones for the elements that a tail has. body may use it up.
func (m *writer) eachMask(t *tail, body func(i int, mask arm64.Vector)) {
	m.Scope(func() { // of some ones and as many zeros, those words of which the first so many are ones
		words := make([]uint32, 2*blockLanes)
		for i := range blockLanes {
			words[i] = math.MaxUint32
		}
		table, mask := m.Table("masks", words), m.Vector()
		m.Add(table, blockBytes)
		m.Go("SUB %v<<2, %v", t.left, table)
		for i := range blockRegisters {
			m.Load(mask, arm64.At(table, i*arm64.RegisterBytes))
			body(i, mask)
		}
	})
}

func (m *writer) loadBlock(b block, at arm64.Address) {
	for i := 0; i < len(b); i += 2 {
		m.LoadPair(b[i], b[i+1], at.Offset(i*arm64.RegisterBytes))
	}
}

func (m *writer) storeBlock(b block, at arm64.Address) {
	for i := 0; i < len(b); i += 2 {
		m.StorePair(b[i], b[i+1], at.Offset(i*arm64.RegisterBytes))
	}
}

// load reads a block, of a tail what there is, and zeros for the rest. It reads nothing else.
func (m *writer) load(t *tail, p arm64.Register) block {
	b := m.block()
	if t == nil {
		m.loadBlock(b, arm64.At(p, 0))
		return b
	}
	scratch := arm64.At(arm64.RSP, m.scratch)
	m.Clear(b...)
	m.storeBlock(b, scratch)
	m.copyWords(t.left, p, true)
	m.loadBlock(b, scratch)
	return b
}

// store writes a block, of a tail what there is.
func (m *writer) store(t *tail, b block, p arm64.Register) {
	if t == nil {
		m.storeBlock(b, arm64.At(p, 0))
		return
	}
	m.storeBlock(b, arm64.At(arm64.RSP, m.scratch))
	m.copyWords(t.left, p, false)
}

// copyWords copies count words from memory at p to the scratch block, or back.
func (m *writer) copyWords(count, p arm64.Register, toScratch bool) {
	m.Scope(func() {
		scratch, outside, left, word := m.Register(), m.copy(p), m.copy(count), m.Register()
		m.Go("ADD $%d, RSP, %v", m.scratch, scratch)
		from, to := scratch, outside
		if toScratch {
			from, to = outside, scratch
		}
		loop := m.NewLabel("word")
		m.Label(loop)
		m.Go("MOVWU.P 4(%v), %v", from, word)
		m.Go("MOVW.P %v, 4(%v)", word, to)
		m.Go("SUBS $1, %v", left)
		m.Go("BNE %s", loop)
	})
}

// keep clears the elements of a block that a tail does not have.
func (m *writer) keep(t *tail, b block) {
	if t != nil {
		m.eachMask(t, func(i int, mask arm64.Vector) { m.AND(b[i], b[i], mask) })
	}
}

// fill sets the elements of a block that a tail does not have to those of a register.
func (m *writer) fill(t *tail, value arm64.Vector, b block) {
	if t != nil {
		m.eachMask(t, func(i int, mask arm64.Vector) {
			m.BSL(mask, b[i], value)
			m.Copy(b[i], mask)
		})
	}
}

// repeat generates a loop that runs body n times, which may be 0. It uses up n.
func (m *writer) repeat(n arm64.Register, body func()) {
	loop, done := m.NewLabel("loop"), m.NewLabel("done")
	m.Go("CBZ %v, %s", n, done)
	m.Loop(loop)
	m.Scope(body)
	m.Go("SUBS $1, %v", n)
	m.Go("BNE %s", loop)
	m.Label(done)
}

// copy returns a copy of a register.
func (m *writer) copy(r arm64.Register) arm64.Register {
	c := m.Register()
	m.Go("MOVD %v, %v", r, c)
	return c
}

// word returns a register with a value in every word.
func (m *writer) word(bits uint32) arm64.Vector {
	v := m.Vector()
	m.Constant(v, bits)
	return v
}

// number returns a register with a number in every lane.
func (m *writer) number(value float32) arm64.Vector { return m.word(math.Float32bits(value)) }

// parameter returns a register with a parameter of 4 bytes in every lane.
func (m *writer) parameter(name string) arm64.Vector {
	v := m.Vector()
	m.Go("FMOVS %s, F%d", m.Argument(name), v)
	m.DUP(v, v, 0)
	return v
}

// constants are registers with a value in all lanes.
type constants map[float32]arm64.Vector

// constants prepares values for the loop that follows.
func (m *writer) constants(values ...float32) constants {
	c := constants{}
	for _, v := range values {
		if _, ok := c[v]; !ok {
			c[v] = m.number(v)
		}
	}
	return c
}

// of returns the register of a value that has been prepared.
func (c constants) of(v float32) arm64.Vector {
	r, ok := c[v]
	if !ok {
		panic(fmt.Sprintf("constant %v has not been prepared", v))
	}
	return r
}

// reduce combines the 16 lanes of a block in the fixed order of sum16: halves, quarters, pairs. The result is the lowest lane of
// the register it returns; the others are given back.
func (m *writer) reduce(b block, combine func(d, n, m arm64.Vector)) arm64.Vector {
	combine(b[0], b[0], b[2])
	combine(b[1], b[1], b[3])
	combine(b[0], b[0], b[1])
	m.EXT(b[1], b[0], b[0], 8)
	combine(b[0], b[0], b[1])
	m.DUP(b[1], b[0], 1)
	combine(b[0], b[0], b[1])
	m.FreeVectors(b[1:]...)
	return b[0]
}

// larger sets each element of largest to that of x where it is larger: NaN is not. It is no FMAXNM, which prefers a positive zero
// and makes a NaN of a signalling one.
func (m *writer) larger(largest, x arm64.Vector) {
	m.Scope(func() {
		above := m.Vector()
		m.FCMGT(above, x, largest)
		m.BIT(largest, x, above)
	})
}

var infinity = float32(math.Inf(1))
