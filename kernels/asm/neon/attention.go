package main

import (
	"fmt"
	"math/bits"

	"github.com/tti-llm/tti/kernels/asm/arm64"
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

// widener makes float32 of the elements of a cache.
type widener struct {
	*writer
	cache
	// For int8: a byte b becomes the word 0x4b000000 + (b+128), which is the float32 2^23 + b + 128; a subtraction leaves b,
	// exactly. That is faster than an extension and a conversion, and on more units of the CPU.
	sign, zero, exponent, bias arm64.Vector
}

func (m *writer) widener(c cache) *widener {
	w := &widener{writer: m, cache: c}
	if c.name == "Int8" {
		w.sign, w.zero, w.exponent, w.bias = m.word(0x80808080), m.Vector(), m.word(0x4b004b00), m.number(1<<23+128)
		m.Clear(w.zero)
	}
	return w
}

// each loads 4, 8 or 16 elements and calls body with each register of four float32, which it may use up.
func (w *widener) each(p arm64.Address, elements int, body func(i int, v arm64.Vector)) {
	w.Scope(func() {
		switch raw := w.loadRaw(p, elements*w.bytes); w.name {
		case "F32":
			for i, v := range raw {
				body(i, v)
			}
			if elements == blockLanes { // two registers at a time are enough
				for i, v := range w.loadRaw(p.Offset(blockBytes/2), blockBytes/2) {
					body(2+i, v)
				}
			}
		case "F16":
			low := w.Vector()
			for i, v := range raw {
				w.FCVTL(low, v)
				body(2*i, low)
				if elements > 4 {
					w.FCVTL2(v, v)
					body(2*i+1, v)
				}
			}
		case "Int8":
			high, v := raw[0], w.Vector()
			low := high
			if elements == blockLanes {
				low = w.Vector()
			}
			w.EOR(high, high, w.sign)
			w.ZIP1Bytes(low, high, w.zero)
			for i := range elements / 4 {
				if i == 2 {
					w.ZIP2Bytes(low, high, w.zero)
				}
				if i%2 == 0 {
					w.ZIP1Halves(v, low, w.exponent)
				} else {
					w.ZIP2Halves(v, low, w.exponent)
				}
				w.FSUB(v, v, w.bias)
				body(i, v)
			}
		}
	})
}

// loadRaw loads 4, 8, 16 or 32 bytes, and of more the first 32: in one instruction, since CPUs decode few in a cycle.
func (w *widener) loadRaw(p arm64.Address, bytes int) []arm64.Vector {
	if bytes >= 2*arm64.RegisterBytes {
		raw := w.Vectors(2)
		w.LoadPair(raw[0], raw[1], p)
		return raw
	}
	raw := w.Vectors(1)
	switch bytes {
	case 4:
		w.LoadWord(raw[0], p)
	case 8:
		w.LoadDouble(raw[0], p)
	default:
		w.Load(raw[0], p)
	}
	return raw
}

// pages walks the pages of a KV cache.
type pages struct {
	*writer
	each string         // the parameter that says how many steps a page is for
	next arm64.Register // the slice of the next page
	left arm64.Register // steps until then
}

// sliceBytes is the distance of the elements of a slice of slices. The address of its bytes comes first in each.
const sliceBytes = 24

// pages begins a walk in front of the first page.
func (m *writer) pages(each string) pages {
	w := pages{m, each, m.Parameter("pages"), m.Register()}
	m.Go("MOVD $0, %v", w.left)
	return w
}

// step counts a step. Before the first one of each page it calls enter with the page's address.
func (w pages) step(enter func(page arm64.Register)) {
	inside := w.NewLabel("inside")
	w.Go("CBNZ %v, %s", w.left, inside)
	w.turn(enter)
	w.Label(inside)
	w.Go("SUB $1, %v", w.left)
}

// turn goes on to the next page.
func (w pages) turn(enter func(page arm64.Register)) {
	w.Scope(func() {
		page := w.Register()
		w.Go("MOVD (%v), %v", w.next, page)
		w.Add(w.next, sliceBytes)
		w.Go("MOVD %s, %v", w.Argument(w.each), w.left)
		enter(page)
	})
}

// scoreLanes is how many of the 16 lanes of their dot products the queries of a tile go through at once.
const scoreLanes = 4

// scoreStrips says, for 1, 2, ... queries, how many positions go through the dimensions at once, so that each lane has three or
// four registers of sums.
var scoreStrips = []int{16, 8, 4, 4}

// A scoring is what the parts of a kernel for scores share.
type scoring struct {
	*widener
	queries, strip int
	line           int              // bytes of the keys of one dimension
	query          []arm64.Register // where each query begins
	keys           arm64.Register   // where the strip's keys begin
	scales         arm64.Register   // and its scales
	steps          arm64.Register   // dimensions, in blocks
}

// scores generates the dot products of a tile of queries with the keys of whole blocks of positions. A register holds scores of
// four positions; the sum over dimensions modulo 16 is a register for each of these, and the fixed tree adds registers.
func scores(file *arm64.File, c cache, queries int) {
	function(file, fmt.Sprintf("scores%sx%d", c.name, queries),
		"func(scores *float32, scoreStride int, q *float32, dimensions int, pages *[]byte, keys, scales, pageBlocks, skip, blocks int)",
		fmt.Sprintf("writes the scores of %d queries with the keys of whole blocks of 16 positions. It begins behind skip blocks of the first page.", queries),
		func(m *writer) {
			result, query := m.rowPointers("scores", "scoreStride", queries), m.rowPointers("q", "dimensions", queries)
			s := scoring{widener: m.widener(c), queries: queries, strip: scoreStrips[queries-1], line: blockLanes * c.bytes, query: query}
			walk := m.pages("pageBlocks")
			s.keys, s.scales = m.Register(), m.Register()
			strips, blocks := m.Register(), m.Parameter("blocks")
			s.steps = m.Parameter("dimensions")
			m.Go("LSR $4, %v", s.steps)

			loop, next := m.NewLabel("block"), m.NewLabel("strip")
			m.Label(loop)
			walk.step(func(page arm64.Register) { s.enter(page, walk.left) })
			m.Go("MOVD $%d, %v", blockLanes/s.strip, strips)
			m.Label(next)
			s.scoreStrip(result)
			m.Go("SUBS $1, %v", strips)
			m.Go("BNE %s", next)
			s.nextBlock()
			m.Go("SUBS $1, %v", blocks)
			m.Go("BNE %s", loop)
		})
}

// enter goes to the keys and scales of a page, behind those blocks that are to be skipped, of the first page only.
func (s *scoring) enter(page, left arm64.Register) {
	skip, bytes := s.Parameter("skip"), s.Parameter("dimensions")
	s.Go("MOVD $0, %v", s.keys)
	s.Go("MOVD %v, %s", s.keys, s.Argument("skip"))
	s.Go("SUB %v, %v", skip, left)
	s.Go("MOVD %s, %v", s.Argument("keys"), s.keys)
	s.Go("ADD %v, %v", page, s.keys)
	if s.scaled {
		s.Go("MOVD %s, %v", s.Argument("scales"), s.scales)
		s.Go("ADD %v, %v", page, s.scales)
		s.Go("ADD %v<<6, %v", skip, s.scales)
	}
	s.Go("MUL %v, %v", skip, bytes)
	s.Go("MOVD $%d, %v", s.line, skip)
	s.Go("MADD %v, %v, %v, %v", skip, s.keys, bytes, s.keys)
}

// nextBlock goes on from the end of a block's first line, through which the strips have gone, to the next block: it has as many
// lines as there are dimensions.
func (s *scoring) nextBlock() {
	s.Scope(func() {
		lines, line := s.Register(), s.Register()
		s.Go("LSL $4, %v, %v", s.steps, lines)
		s.Go("SUB $1, %v", lines)
		s.Go("MOVD $%d, %v", s.line, line)
		s.Go("MADD %v, %v, %v, %v", line, s.keys, lines, s.keys)
	})
}

// scoreStrip writes the scores of a strip and goes on to the next one.
func (s *scoring) scoreStrip(result []arm64.Register) {
	s.Scope(func() {
		sums := s.tree(0, 1)
		if s.scaled {
			for part := range s.strip / 4 {
				s.Scope(func() {
					scale := s.Vector()
					s.Load(scale, arm64.At(s.scales, 16*part))
					for j := range s.queries {
						sum := sums[s.index(j, part)]
						s.FMUL(sum, sum, scale)
					}
				})
			}
			s.Add(s.scales, 4*s.strip)
		}
		for j, p := range result {
			for part := range s.strip / 4 {
				s.Store(sums[s.index(j, part)], arm64.At(p, 16*part))
			}
			s.Add(p, 4*s.strip)
		}
	})
	s.Add(s.keys, s.strip*s.bytes)
}

// index returns which of a lane's sums are those of a query and four positions.
func (s *scoring) index(query, part int) int { return query*s.strip/4 + part }

// tree returns, for every query, the sum of the lanes first, first+step, ..., depth first, so that few sums are held.
func (s *scoring) tree(first, step int) []arm64.Vector {
	if blockLanes/step <= scoreLanes {
		return s.chains(first, step)
	}
	left := s.tree(first, 2*step)
	right := s.tree(first+step, 2*step)
	s.addAll(left, right)
	s.FreeVectors(right...)
	return left
}

// chains is tree for so few lanes that each can be a chain of its own through the dimensions.
func (s *scoring) chains(first, step int) []arm64.Vector {
	sums := make([][]arm64.Vector, blockLanes/step)
	for i := range sums {
		sums[i] = s.Vectors(s.queries * s.strip / 4)
		s.Clear(sums[i]...)
	}
	s.Scope(func() {
		key, left := s.copy(s.keys), s.copy(s.steps)
		moving := make([]arm64.Register, s.queries)
		for j := range moving {
			moving[j] = s.copy(s.query[j])
		}
		s.repeat(left, func() {
			for i := range sums {
				dimension := first + i*step
				s.Scope(func() { s.multiply(sums[i], arm64.At(key, dimension*s.line), moving, 4*dimension) })
			}
			s.Add(key, blockLanes*s.line)
			for _, p := range moving {
				s.Add(p, blockBytes)
			}
		})
	})
	for half := len(sums) / 2; half > 0; half /= 2 {
		for i := range half {
			s.addAll(sums[i], sums[i+half])
			s.FreeVectors(sums[i+half]...)
		}
	}
	return sums[0]
}

// multiply adds the products of the keys of one dimension with the numbers of the queries, which lie some bytes behind the
// given places.
func (s *scoring) multiply(sums []arm64.Vector, keys arm64.Address, query []arm64.Register, offset int) {
	x := make([]arm64.Vector, s.queries)
	load := func(j int) { s.LoadWord(x[j], arm64.At(query[j], offset)) }
	once := s.strip == 4 // each number is needed once: all take turns at one register
	for j := range x {
		if once && j > 0 {
			x[j] = x[0]
			continue
		}
		x[j] = s.Vector()
		if !once {
			load(j)
		}
	}
	s.each(keys, s.strip, func(part int, k arm64.Vector) {
		for j := range x {
			if once {
				load(j)
			}
			s.FMLAElement(sums[s.index(j, part)], k, x[j], 0)
		}
	})
}

// addAll adds the registers x to those of sum.
func (m *writer) addAll(sum, x []arm64.Vector) {
	for i := range sum {
		m.FADD(sum[i], sum[i], x[i])
	}
}

// softmax generates the step from scores to the weights of values: e to the difference from the maximum, and the sum of these by
// position modulo 16. With scales, the weights that are left are multiplied by those of the values.
func softmax(file *arm64.File, scaled bool) {
	name, scale := "softmax", ""
	if scaled {
		name, scale = "softmaxScaled", "pages *[]byte, scales, pageBlocks, skip, "
	}
	function(file, name, "func(scores *float32, "+scale+"count int) float32",
		"replaces count scores by weights and returns the sum of the exponentials.", func(m *writer) {
			x, n := m.Parameter("scores"), m.Parameter("count")
			lowest := m.number(-infinity)
			maximum := m.block()
			for _, r := range maximum {
				m.Copy(r, lowest)
			}
			m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
				v := m.load(t, p[0])
				m.fill(t, lowest, v)
				for i, r := range v {
					m.larger(maximum[i], r)
				}
			})
			largest := m.reduce(maximum, func(d, _, x arm64.Vector) { m.larger(d, x) })
			m.DUP(largest, largest, 0)

			var walk pages
			var scales arm64.Register
			enter := func(page arm64.Register) {
				m.Go("MOVD %s, %v", m.Argument("scales"), scales)
				m.Go("ADD %v, %v", page, scales)
			}
			if scaled {
				walk, scales = m.pages("pageBlocks"), m.Register()
				walk.turn(func(page arm64.Register) {
					enter(page)
					skip := m.Parameter("skip")
					m.Go("SUB %v, %v", skip, walk.left)
					m.Go("ADD %v<<6, %v", skip, scales)
				})
			}
			c, sum := m.constants(expConstants...), m.zeros()
			m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
				v := m.load(t, p[0])
				for _, r := range v {
					m.FSUB(r, r, largest)
					m.exp(c, r, false)
				}
				m.keep(t, v)
				m.addAll(sum, v)
				if scaled {
					walk.step(enter)
					m.Scope(func() {
						for i, s := range m.load(nil, scales) {
							m.FMUL(v[i], v[i], s)
						}
					})
					m.Add(scales, blockBytes)
				}
				m.store(t, v, p[0])
			})
			m.Go("FMOVS F%d, %s", m.reduce(sum, m.FADD), m.Argument("ret"))
		})
}

// valueBlocks says, for 1, 2, ... queries, how many blocks of 16 dimensions of each result are held at once: the first as long as
// there are so many dimensions left, then the next.
var valueBlocks = [][]int{{4, 1}, {2, 1}, {1}, {1}}

// A weighing is what the parts of a kernel for weighted sums share.
type weighing struct {
	*widener
	queries    int
	out        []arm64.Register // where each query's dimensions begin that are left
	weights    []arm64.Register // where each query's weights begin
	values     arm64.Register   // where in a page the dimensions begin that are left
	value      arm64.Register   // where those of the next position lie
	index      arm64.Register   // the number of its weight
	rowBytes   arm64.Register
	left, some arm64.Register // positions that a query has still to weigh; of these, those in this page
}

// weigh generates the sum of values weighted by the results of softmax. It is added to what is there, and divided by the sums unless
// there are none.
func weigh(file *arm64.File, c cache, queries int) {
	function(file, fmt.Sprintf("weigh%sx%d", c.name, queries),
		"func(out *float32, outStride int, weights *float32, weightStride int, sums *float32, dimensions, width int, pages *[]byte, values, pagePositions, first int, ends [4]int)",
		fmt.Sprintf("adds to the results of %d queries. Query i weighs positions first to ends[i]-1 of the pages; its weights begin with that of first.", queries),
		func(m *writer) {
			w := weighing{queries: queries, out: m.rowPointers("out", "outStride", queries), weights: m.rowPointers("weights", "weightStride", queries)}
			w.rowBytes = m.Parameter("width")
			dimensions := m.Parameter("dimensions")
			m.Go("LSL $%d, %v", bits.TrailingZeros(uint(c.bytes)), w.rowBytes)
			w.widener = m.widener(c)
			w.value, w.left, w.some, w.index = m.Register(), m.Register(), m.Register(), m.Register()
			w.values = m.Parameter("values")
			for _, blocks := range valueBlocks[queries-1] {
				chunk := blocks * blockLanes
				loop, done := m.NewLabel("chunk"), m.NewLabel("done")
				m.Label(loop)
				m.Go("CMP $%d, %v", chunk, dimensions)
				m.Go("BLT %s", done)
				m.Scope(func() { w.weighChunk(blocks) })
				m.Add(w.values, chunk*c.bytes)
				m.Go("SUB $%d, %v", chunk, dimensions)
				m.Go("B %s", loop)
				m.Label(done)
			}
		})
}

// weighChunk computes the results of all queries for the next dimensions, so many blocks of 16.
func (w *weighing) weighChunk(blocks int) {
	results := make([]block, w.queries)
	for i, p := range w.out {
		results[i] = w.Vectors(blocks * blockRegisters)
		w.loadBlock(results[i], arm64.At(p, 0))
	}
	walk := w.pages("pagePositions")
	walk.turn(w.enter)
	w.Go("MOVD %s, %v", w.Argument("first"), w.left)
	w.Go("SUB %v, %v", w.left, walk.left)
	w.Go("MADD %v, %v, %v, %v", w.rowBytes, w.value, w.left, w.value)
	w.Go("MOVD $0, %v", w.index)
	for first := range w.queries {
		w.weighUntilEnd(first, results, walk)
	}
	w.divide(results)
	for i, p := range w.out {
		w.storeBlock(results[i], arm64.At(p, 0))
		w.Add(p, 4*blocks*blockLanes)
	}
}

// enter goes to the values of a page.
func (w *weighing) enter(page arm64.Register) { w.Go("ADD %v, %v, %v", page, w.values, w.value) }

// weighUntilEnd adds the positions that query first and later ones see, and earlier ones do not.
func (w *weighing) weighUntilEnd(first int, results []block, walk pages) {
	w.Scope(func() {
		before := w.Register()
		w.Go("MOVD %s, %v", w.Argument(fmt.Sprintf("ends_%d", first)), w.left)
		from := "first"
		if first > 0 {
			from = fmt.Sprintf("ends_%d", first-1)
		}
		w.Go("MOVD %s, %v", w.Argument(from), before)
		w.Go("SUB %v, %v", before, w.left)
	})
	more, inside, position, through := w.NewLabel("more"), w.NewLabel("inside"), w.NewLabel("position"), w.NewLabel("through")
	w.Label(more)
	w.Go("CBZ %v, %s", w.left, through)
	w.Go("CBNZ %v, %s", walk.left, inside)
	walk.turn(w.enter)
	w.Label(inside)
	w.Go("CMP %v, %v", walk.left, w.left)
	w.Go("CSEL LT, %v, %v, %v", w.left, walk.left, w.some)
	w.Go("SUB %v, %v", w.some, walk.left)
	w.Go("SUB %v, %v", w.some, w.left)
	w.Loop(position)
	w.Scope(func() { w.weighPosition(first, results) })
	w.Go("ADD %v, %v", w.rowBytes, w.value)
	w.Add(w.index, 1)
	w.Go("SUBS $1, %v", w.some)
	w.Go("BNE %s", position)
	w.Go("B %s", more)
	w.Label(through)
}

// weighPosition adds the values of one position to the results of query first and later ones.
func (w *weighing) weighPosition(first int, results []block) {
	scalars := w.Vectors(w.queries)
	for i := first; i < w.queries; i++ {
		w.Go("FMOVS (%v)(%v<<2), F%d", w.weights[i], w.index, scalars[i])
	}
	for b := range len(results[0]) / blockRegisters {
		w.each(arm64.At(w.value, b*blockLanes*w.bytes), blockLanes, func(j int, v arm64.Vector) {
			for i := first; i < w.queries; i++ {
				w.FMLAElement(results[i][b*blockRegisters+j], v, scalars[i], 0)
			}
		})
	}
}

// divide divides the results by the sums of the weights, if they are given.
func (w *weighing) divide(results []block) {
	undivided := w.NewLabel("undivided")
	w.Go("MOVD %s, %v", w.Argument("sums"), w.some)
	w.Go("CBZ %v, %s", w.some, undivided)
	w.Scope(func() {
		sum := w.Vector()
		for i, result := range results {
			w.LoadWord(sum, arm64.At(w.some, 4*i))
			w.DUP(sum, sum, 0)
			for _, r := range result {
				w.FDIV(r, r, sum)
			}
		}
	})
	w.Label(undivided)
}
