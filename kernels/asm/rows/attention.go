package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// cache is an encoding of keys and values.
type cache struct {
	name   string
	bytes  int  // of one element
	scaled bool // there is a scale for every position
}

var caches = []cache{
	{"F32", 4, false},
	{"F16", 2, false},
	{"Int8", 1, true},
}

// widen loads a register of elements of a cache as float32.
func (m *machine) widen(c cache, p operand.Mem) reg.VecVirtual {
	r := m.Vector()
	switch c.name {
	case "F32":
		m.VMOVUPS(p, r)
	case "F16":
		m.VCVTPH2PS(p, r)
	case "Int8":
		m.VPMOVSXBD(p, r)
		m.VCVTDQ2PS(r, r)
	}
	return r
}

// rows addresses element 0 of up to four rows at equal distances.
type rows struct {
	base           reg.GPVirtual
	stride, triple reg.GPVirtual // in bytes, only as many as are needed
}

// rows returns the addresses of count rows whose stride is given in elements of four bytes.
func (m *machine) rows(base, stride string, count int) rows {
	r := rows{base: m.Parameter(base)}
	if count > 1 {
		r.stride = m.Parameter(stride)
		m.SHLQ(operand.Imm(2), r.stride)
	}
	if count > 3 {
		r.triple = m.GP64()
		m.LEAQ(operand.Mem{Base: r.stride, Index: r.stride, Scale: 2}, r.triple)
	}
	return r
}

// at returns the operand in row i, displacement bytes from its element 0.
func (r rows) at(i, displacement int) operand.Mem {
	p := operand.Mem{Base: r.base, Disp: displacement}
	switch i {
	case 1, 2:
		p.Index, p.Scale = r.stride, uint8(i)
	case 3:
		p.Index, p.Scale = r.triple, 1
	}
	return p
}

// scoreTile says how many queries go through the keys together, and how many of the 16 lanes of their
// dot products at once: more lanes go through fewer times, and hold more registers.
type scoreTile struct {
	queries, lanes int
}

// scores generates the dot products of a tile of queries with the keys of whole blocks of
// positions. A register holds one score for each of its positions; the sum over dimensions modulo 16
// is a register for each of these, and the fixed tree adds registers.
func scores(m *machine, c cache, t scoreTile) {
	name := fmt.Sprintf("scores%sx%d", c.name, t.queries)
	m.function(name, "func(scores *float32, scoreStride int, q *float32, dimensions int, pages *[]byte, keys, scales, pageBlocks, skip, blocks int)")
	m.Doc(fmt.Sprintf("%s%s writes the scores of %d queries with the keys of whole blocks of 16 positions. It begins behind skip blocks of the first page.", name, m.Name, t.queries))
	result := m.rows("scores", "scoreStride", t.queries)
	query := m.rows("q", "dimensions", t.queries)
	walk := m.pages("pageBlocks")
	keys, ahead := m.GP64(), m.GP64()
	var scales reg.GPVirtual
	if c.scaled {
		scales = m.GP64()
	}
	steps := m.Parameter("dimensions")
	m.SHRQ(operand.Imm(4), steps)
	keyBytes := m.Parameter("dimensions") // of a block
	m.IMUL3Q(operand.I32(blockLanes*c.bytes), keyBytes, keyBytes)

	line := blockLanes * c.bytes // the keys of one dimension
	// chains returns, for every query, the sum of the lanes first, first+step, ..., each of which is a
	// chain of its own through the dimensions.
	chains := func(strip reg.Register, first, step int) []reg.VecVirtual {
		lanes := make([][]reg.VecVirtual, blockLanes/step)
		for i := range lanes {
			lanes[i] = make([]reg.VecVirtual, t.queries)
			for j := range lanes[i] {
				lanes[i][j] = m.Vector()
			}
			m.zero(lanes[i]...)
		}
		key, moving := m.copy(strip), query
		moving.base = m.copy(query.base)
		m.repeat(m.copy(steps), func() {
			for i, accumulators := range lanes {
				dimension := first + i*step
				k := m.widen(c, operand.Mem{Base: key, Disp: dimension * line})
				if first == 0 { // of several ways through the keys, the first one
					m.fetch(key, ahead, dimension*line, step*line)
				}
				for j, r := range accumulators {
					m.multiplyAdd(moving.at(j, 4*dimension), k, r)
				}
			}
			m.ADDQ(operand.I32(blockLanes*line), key)
			m.ADDQ(operand.Imm(4*blockLanes), moving.base)
		})
		for half := len(lanes) / 2; half > 0; half /= 2 {
			for i := range half {
				m.addAll(lanes[i+half], lanes[i])
			}
		}
		return lanes[0]
	}
	// tree returns the same for any step, depth first, so that few sums are held.
	var tree func(strip reg.Register, first, step int) []reg.VecVirtual
	tree = func(strip reg.Register, first, step int) []reg.VecVirtual {
		if blockLanes/step <= t.lanes {
			return chains(strip, first, step)
		}
		left := tree(strip, first, 2*step)
		m.addAll(tree(strip, first+step, 2*step), left)
		return left
	}

	// A strip is as many positions as a register holds.
	scoreStrip := func(strip reg.Register) {
		for i, sum := range tree(strip, 0, 1) {
			if c.scaled {
				m.VMULPS(operand.Mem{Base: scales}, sum, sum)
			}
			m.VMOVUPS(sum, result.at(i, 0))
		}
		m.ADDQ(operand.Imm(uint64(m.RegisterBytes)), result.base)
		if c.scaled {
			m.ADDQ(operand.Imm(uint64(m.RegisterBytes)), scales)
		}
	}
	loop := m.label("block")
	m.Label(loop)
	walk.step(func(page reg.GPVirtual) {
		m.MOVQ(page, keys)
		m.ADDQ(m.argument("keys"), keys)
		skipped := m.Parameter("skip")
		m.SUBQ(skipped, walk.left)
		if c.scaled {
			scale := m.copy(skipped)
			m.SHLQ(operand.Imm(6), scale)
			m.LEAQ(operand.Mem{Base: page, Index: scale, Scale: 1}, scales)
			m.ADDQ(m.argument("scales"), scales)
		}
		m.IMULQ(keyBytes, skipped)
		m.ADDQ(skipped, keys)
		m.MOVQ(operand.I32(0), m.argument("skip"))
		blocks := m.Parameter("blocks")
		m.CMPQ(blocks, walk.left)
		m.fetchNext(ahead, page, m.argument("pages"), m.JLE)
	})
	if m.lanes() == blockLanes {
		scoreStrip(keys)
	} else {
		strip, strips := m.copy(keys), m.GP64()
		m.MOVQ(operand.U32(blockLanes/m.lanes()), strips)
		m.repeat(strips, func() {
			scoreStrip(strip)
			m.ADDQ(operand.Imm(uint64(m.lanes()*c.bytes)), strip)
		})
	}
	m.ADDQ(keyBytes, keys)
	m.DECQ(m.argument("blocks"))
	m.JNZ(operand.LabelRef(loop))
	m.End()
}

// pages walks the pages of a KV cache. It keeps its state on the stack, in the parameter "pages" and beside it,
// since it is needed once in many instructions and registers are few.
type pages struct {
	*machine
	each string      // the parameter that says how many steps a page is for
	left operand.Mem // steps until the next page
}

// sliceBytes is the distance of the elements of a slice of slices. The address of its bytes comes first in each.
const sliceBytes = 24

// pages begins a walk in front of the first page.
func (m *machine) pages(each string) pages {
	w := pages{m, each, m.AllocLocal(8)}
	m.MOVQ(operand.I32(0), w.left)
	return w
}

// step counts a step. Before the first one of each page it calls enter with the page's address.
func (w pages) step(enter func(page reg.GPVirtual)) {
	inside := w.label("inside")
	w.CMPQ(w.left, operand.Imm(0))
	w.JNE(operand.LabelRef(inside))
	w.turn(enter)
	w.Label(inside)
	w.DECQ(w.left)
}

// turn goes on to the next page.
func (w pages) turn(enter func(page reg.GPVirtual)) {
	page, steps := w.Parameter("pages"), w.Parameter(w.each)
	w.ADDQ(operand.Imm(sliceBytes), w.argument("pages"))
	w.MOVQ(steps, w.left)
	w.MOVQ(operand.Mem{Base: page}, page)
	enter(page)
}

// fetchNext sets ahead to the distance from the page to the next one. Each line is fetched into the first-level cache when
// the same place of the page before is read, since the processor's own prefetching begins anew in every page: from memory
// this is half as fast again, and in cache it costs 3 % (kernels/README.md). The flags of a comparison say by the given jump
// that there is no next page; the distance is 0 then.
func (m *machine) fetchNext(ahead, page reg.GPVirtual, next operand.Op, none func(operand.Op)) {
	last := m.label("last")
	m.MOVQ(operand.I32(0), ahead)
	none(operand.LabelRef(last))
	m.MOVQ(next, ahead)
	m.MOVQ(operand.Mem{Base: ahead}, ahead)
	m.SUBQ(page, ahead)
	m.Label(last)
}

// fetch fetches the lines of the next page that begin in some bytes behind an address in this one, which is aligned to lines
// up to the given displacement.
func (m *machine) fetch(base, ahead reg.Register, displacement, bytes int) {
	for at := displacement; at < displacement+bytes; at++ {
		if at%cacheLine == 0 {
			m.PREFETCHT0(operand.Mem{Base: base, Index: ahead, Scale: 1, Disp: at})
		}
	}
}

const cacheLine = 64

// argument returns the place of a parameter.
func (m *machine) argument(name string) operand.Mem { return m.place(m.Param(name)) }

// place returns where a parameter or an element of one lies.
func (m *machine) place(c gotypes.Component) operand.Mem {
	a, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return a.Addr
}

// addAll adds the registers x to those of sum.
func (m *machine) addAll(x, sum []reg.VecVirtual) {
	for i := range sum {
		m.VADDPS(x[i], sum[i], sum[i])
	}
}

// multiplyAdd adds a scalar in memory times x to sum.
func (m *machine) multiplyAdd(scalar operand.Mem, x, sum reg.Register) {
	if m.EmbeddedBroadcast {
		m.VFMADD231PS_BCST(scalar, x, sum)
		return
	}
	m.VFMADD231PS(m.broadcast(scalar), x, sum)
}

// softmax generates the step from scores to the weights of values: e to the difference from the
// maximum, and the sum of these by position modulo 16. With scales, the weights that are left are
// multiplied by those of the values.
func softmax(m *machine, scaled bool) {
	name, scale := "softmax", ""
	if scaled {
		name, scale = "softmaxScaled", "pages *[]byte, scales, pageBlocks, skip, "
	}
	m.function(name, "func(scores *float32, "+scale+"count int) float32")
	m.Doc(name + m.Name + " replaces count scores by weights and returns the sum of the exponentials.")
	x, n := m.Parameter("scores"), m.Parameter("count")
	var scales reg.GPVirtual
	var walk pages
	if scaled {
		walk, scales = m.pages("pageBlocks"), m.GP64()
		walk.turn(func(page reg.GPVirtual) {
			m.MOVQ(page, scales)
			m.ADDQ(m.argument("scales"), scales)
			skipped := m.Parameter("skip")
			m.SUBQ(skipped, walk.left)
			m.SHLQ(operand.Imm(6), skipped)
			m.ADDQ(skipped, scales)
		})
	}
	lowest := m.broadcast(m.word(math.Float32bits(-infinity)))
	maximum := m.broadcastBlock(m.word(math.Float32bits(-infinity)))
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		m.fill(k, lowest, v)
		m.maximum(v, maximum)
	})
	largest := m.broadcast(m.reduce(maximum, m.VMAXPS))

	c := m.constants(expConstants...)
	sum := m.block()
	m.zero(sum...)
	m.eachBlock(n, func(offset reg.Register, k mask) {
		v := m.load(k, element(x, offset))
		for _, r := range v {
			m.VSUBPS(largest, r, r)
		}
		m.exp(c, v, false)
		m.keepBlock(k, v)
		for i, r := range v {
			m.VADDPS(r, sum[i], sum[i])
		}
		if scaled {
			walk.step(func(page reg.GPVirtual) {
				m.MOVQ(page, scales)
				m.ADDQ(m.argument("scales"), scales)
			})
			for i, s := range m.load(k, operand.Mem{Base: scales}) {
				m.VMULPS(s, v[i], v[i])
			}
			m.ADDQ(operand.Imm(4*blockLanes), scales)
		}
		m.store(k, v, element(x, offset))
	})
	m.Store(m.reduce(sum, m.VADDPS), m.ReturnIndex(0))
	m.End()
}

// valueTile says how many queries go through the values together, and how many registers of each
// result are held at once: the first as long as there are so many dimensions left, then the next.
type valueTile struct {
	queries   int
	registers []int
}

// weigh generates the sum of values weighted by the results of softmax. It is added to what is there, and divided
// by the sums unless there are none.
func weigh(m *machine, c cache, t valueTile) {
	name := fmt.Sprintf("weigh%sx%d", c.name, t.queries)
	m.function(name, "func(out *float32, outStride int, weights *float32, weightStride int, sums *float32, dimensions, width int, pages *[]byte, values, pagePositions, first int, ends [4]int)")
	m.Doc(fmt.Sprintf("%s%s adds to the results of %d queries. Query i weighs positions first to ends[i]-1 of the pages; its weights begin with that of first.", name, m.Name, t.queries))
	out := m.rows("out", "outStride", t.queries)
	weights := m.rows("weights", "weightStride", t.queries)
	rowBytes := m.Parameter("width")
	m.IMUL3Q(operand.I32(c.bytes), rowBytes, rowBytes)
	page, left := m.AllocLocal(8), m.AllocLocal(8) // the next page, and how many positions are left in this one
	value, n, some, ahead := m.GP64(), m.GP64(), m.GP64(), m.GP64()

	for _, registers := range t.registers {
		chunk := registers * m.lanes()
		loop, done := m.label("chunk"), m.label("done")
		m.Label(loop)
		m.CMPQ(m.argument("dimensions"), operand.I32(chunk))
		m.JLT(operand.LabelRef(done))

		results := make([][]reg.VecVirtual, t.queries)
		for i := range results {
			for j := range registers {
				r := m.Vector()
				m.VMOVUPS(out.at(i, j*m.RegisterBytes), r)
				results[i] = append(results[i], r)
			}
		}
		m.Load(m.Param("weights"), weights.base)

		// enter begins with the next page.
		enter := func() {
			m.MOVQ(page, value)
			m.ADDQ(operand.Imm(sliceBytes), page)
			m.MOVQ(operand.Mem{Base: value}, value)
			m.MOVQ(m.Parameter("pagePositions"), some)
			m.MOVQ(some, left)
			m.CMPQ(n, some)
			m.fetchNext(ahead, value, page, m.JLE)
			m.ADDQ(m.argument("values"), value)
		}
		m.MOVQ(m.Parameter("pages"), some)
		m.MOVQ(some, page)
		m.Load(m.Param("ends").Index(0), n)
		enter()
		m.Load(m.Param("first"), n)
		m.SUBQ(n, left)
		m.IMULQ(rowBytes, n)
		m.ADDQ(n, value)

		for first := range t.queries {
			// Queries first and later go on from the end of the query before.
			m.Load(m.Param("ends").Index(first), n)
			if first == 0 {
				m.SUBQ(m.argument("first"), n)
			} else {
				m.SUBQ(m.place(m.Param("ends").Index(first-1)), n)
			}
			more, inside, position, through := m.label("more"), m.label("inside"), m.label("position"), m.label("through")
			m.Label(more)
			m.TESTQ(n, n)
			m.JZ(operand.LabelRef(through))
			m.CMPQ(left, operand.Imm(0))
			m.JNE(operand.LabelRef(inside))
			enter()
			m.Label(inside)
			m.MOVQ(left, some)
			m.CMPQ(n, some)
			m.CMOVQLT(n, some)
			m.SUBQ(some, left)
			m.SUBQ(some, n)
			m.Label(position)
			scalars := make([]reg.VecVirtual, t.queries)
			for i := first; i < t.queries; i++ {
				scalars[i] = m.broadcast(weights.at(i, 0))
			}
			for j := range registers {
				at := j * m.lanes() * c.bytes
				v := m.widen(c, operand.Mem{Base: value, Disp: at})
				m.fetch(value, ahead, at, m.lanes()*c.bytes)
				for i := first; i < t.queries; i++ {
					m.VFMADD231PS(v, scalars[i], results[i][j])
				}
			}
			m.ADDQ(rowBytes, value)
			m.ADDQ(operand.Imm(4), weights.base)
			m.DECQ(some)
			m.JNZ(operand.LabelRef(position))
			m.JMP(operand.LabelRef(more))
			m.Label(through)
		}

		undivided := m.label("undivided")
		m.Load(m.Param("sums"), some)
		m.TESTQ(some, some)
		m.JZ(operand.LabelRef(undivided))
		for i, result := range results {
			sum := m.broadcast(operand.Mem{Base: some, Disp: 4 * i})
			for _, r := range result {
				m.VDIVPS(sum, r, r)
			}
		}
		m.Label(undivided)
		for i, result := range results {
			for j, r := range result {
				m.VMOVUPS(r, out.at(i, j*m.RegisterBytes))
			}
		}

		m.ADDQ(operand.I32(registers*m.RegisterBytes), out.base)
		m.ADDQ(operand.I32(chunk*c.bytes), m.argument("values"))
		m.SUBQ(operand.I32(chunk), m.argument("dimensions"))
		m.JMP(operand.LabelRef(loop))
		m.Label(done)
	}
	m.End()
}
