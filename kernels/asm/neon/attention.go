package main

import (
	"fmt"

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

// scores generates the dot products of a tile of queries with the keys of whole blocks of positions. A register holds scores of
// four positions; the sum over dimensions modulo 16 is a register for each of these, and the fixed tree adds registers.
func scores(file *arm64.File, c cache, queries int) {
	strip := map[int]int{1: 16, 2: 8, 3: 4, 4: 4}[queries] // positions at once: four registers of sums for each lane, or three
	function(file, fmt.Sprintf("scores%sx%d", c.name, queries),
		"func(scores *float32, scoreStride int, q *float32, dimensions int, pages *[]byte, keys, scales, pageBlocks, skip, blocks int)",
		fmt.Sprintf("writes the scores of %d queries with the keys of whole blocks of 16 positions. It begins behind skip blocks of the first page.", queries),
		func(m *writer) {
			result, query := m.rowPointers("scores", "scoreStride", queries), m.rowPointers("q", "dimensions", queries)
			w, walk := m.widener(c), m.pages("pageBlocks")
			keys, scales, strips := m.Register(), m.Register(), m.Register()
			blocks, steps := m.Parameter("blocks"), m.Parameter("dimensions")
			m.Go("LSR $4, %v", steps)
			registers := queries * strip / 4
			line := blockLanes * c.bytes // the keys of one dimension

			// chains returns, for every query, the sum of the lanes first, first+step, ..., each of which is a chain of
			// its own through the dimensions.
			chains := func(first, step int) []arm64.Vector {
				sums := make([][]arm64.Vector, blockLanes/step)
				for i := range sums {
					sums[i] = m.Vectors(registers)
					m.Clear(sums[i]...)
				}
				m.Scope(func() {
					key, left := m.copy(keys), m.copy(steps)
					moving := make([]arm64.Register, queries)
					for j := range moving {
						moving[j] = m.copy(query[j])
					}
					m.repeat(left, func() {
						for i := range sums {
							dimension := first + i*step
							m.Scope(func() {
								q := make([]arm64.Vector, queries)
								load := func(j int) { m.LoadWord(q[j], arm64.At(moving[j], 4*dimension)) }
								once := strip > 4 // else each is needed once, one after the other
								for j := range q {
									if j == 0 || once {
										q[j] = m.Vector()
									} else {
										q[j] = q[0]
									}
									if once {
										load(j)
									}
								}
								w.each(arm64.At(key, dimension*line), strip, func(part int, k arm64.Vector) {
									for j := range q {
										if !once {
											load(j)
										}
										m.FMLAElement(sums[i][j*strip/4+part], k, q[j], 0)
									}
								})
							})
						}
						m.Add(key, blockLanes*line)
						for _, p := range moving {
							m.Add(p, blockBytes)
						}
					})
				})
				for half := len(sums) / 2; half > 0; half /= 2 {
					for i := range half {
						m.addAll(sums[i], sums[i+half])
						m.FreeVectors(sums[i+half]...)
					}
				}
				return sums[0]
			}
			// tree returns the same for any step, depth first, so that few sums are held.
			var tree func(first, step int) []arm64.Vector
			tree = func(first, step int) []arm64.Vector {
				if blockLanes/step <= scoreLanes {
					return chains(first, step)
				}
				left := tree(first, 2*step)
				right := tree(first+step, 2*step)
				m.addAll(left, right)
				m.FreeVectors(right...)
				return left
			}

			loop := m.NewLabel("block")
			m.Label(loop)
			walk.step(func(page arm64.Register) {
				skip, bytes := m.Parameter("skip"), m.Parameter("dimensions")
				m.Go("MOVD $0, %v", keys)
				m.Go("MOVD %v, %s", keys, m.Argument("skip"))
				m.Go("SUB %v, %v", skip, walk.left)
				m.Go("MOVD %s, %v", m.Argument("keys"), keys)
				m.Go("ADD %v, %v", page, keys)
				if c.scaled {
					m.Go("MOVD %s, %v", m.Argument("scales"), scales)
					m.Go("ADD %v, %v", page, scales)
					m.Go("ADD %v<<6, %v", skip, scales)
				}
				m.Go("MUL %v, %v", skip, bytes)
				m.Go("MOVD $%d, %v", line, skip)
				m.Go("MADD %v, %v, %v, %v", skip, keys, bytes, keys)
			})
			m.Go("MOVD $%d, %v", blockLanes/strip, strips)
			next := m.NewLabel("strip")
			m.Label(next)
			m.Scope(func() {
				sums := tree(0, 1)
				if c.scaled {
					for part := range strip / 4 {
						m.Scope(func() {
							scale := m.Vector()
							m.Load(scale, arm64.At(scales, 16*part))
							for j := range queries {
								sum := sums[j*strip/4+part]
								m.FMUL(sum, sum, scale)
							}
						})
					}
					m.Add(scales, 4*strip)
				}
				for j, p := range result {
					for part := range strip / 4 {
						m.Store(sums[j*strip/4+part], arm64.At(p, 16*part))
					}
					m.Add(p, 4*strip)
				}
			})
			m.Add(keys, strip*c.bytes)
			m.Go("SUBS $1, %v", strips)
			m.Go("BNE %s", next)
			m.Scope(func() { // the strips have gone through one line of a block, which has as many as there are dimensions
				bytes := m.Register()
				m.Go("LSL $4, %v, %v", steps, bytes)
				m.Go("SUB $1, %v", bytes)
				m.Scope(func() {
					l := m.Register()
					m.Go("MOVD $%d, %v", line, l)
					m.Go("MADD %v, %v, %v, %v", l, keys, bytes, keys)
				})
			})
			m.Go("SUBS $1, %v", blocks)
			m.Go("BNE %s", loop)
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

// weigh generates the sum of values weighted by the results of softmax. It is added to what is there, and divided by the sums unless
// there are none.
func weigh(file *arm64.File, c cache, queries int) {
	function(file, fmt.Sprintf("weigh%sx%d", c.name, queries),
		"func(out *float32, outStride int, weights *float32, weightStride int, sums *float32, dimensions, width int, pages *[]byte, values, pagePositions, first int, ends [4]int)",
		fmt.Sprintf("adds to the results of %d queries. Query i weighs positions first to ends[i]-1 of the pages; its weights begin with that of first.", queries),
		func(m *writer) {
			out, weights := m.rowPointers("out", "outStride", queries), m.rowPointers("weights", "weightStride", queries)
			rowBytes, dimensions := m.Parameter("width"), m.Parameter("dimensions")
			m.Go("LSL $%d, %v", map[int]int{1: 0, 2: 1, 4: 2}[c.bytes], rowBytes)
			w := m.widener(c)
			value, n, some, index := m.Register(), m.Register(), m.Register(), m.Register()
			values := m.Parameter("values") // where in a page the dimensions begin that are left
			for _, blocks := range valueBlocks[queries-1] {
				chunk := blocks * blockLanes
				loop, done := m.NewLabel("chunk"), m.NewLabel("done")
				m.Label(loop)
				m.Go("CMP $%d, %v", chunk, dimensions)
				m.Go("BLT %s", done)
				m.Scope(func() {
					results := make([]block, queries)
					for i, p := range out {
						results[i] = m.Vectors(blocks * blockRegisters)
						m.loadBlock(results[i], arm64.At(p, 0))
					}
					walk := m.pages("pagePositions")
					enter := func(page arm64.Register) { m.Go("ADD %v, %v, %v", page, values, value) }
					walk.turn(enter)
					m.Go("MOVD %s, %v", m.Argument("first"), n)
					m.Go("SUB %v, %v", n, walk.left)
					m.Go("MADD %v, %v, %v, %v", rowBytes, value, n, value)
					m.Go("MOVD $0, %v", index)
					for first := range queries {
						// Queries first and later go on from the end of the query before.
						m.Scope(func() {
							before := m.Register()
							m.Go("MOVD %s, %v", m.Argument(fmt.Sprintf("ends_%d", first)), n)
							if first == 0 {
								m.Go("MOVD %s, %v", m.Argument("first"), before)
							} else {
								m.Go("MOVD %s, %v", m.Argument(fmt.Sprintf("ends_%d", first-1)), before)
							}
							m.Go("SUB %v, %v", before, n)
						})
						more, inside, position, through := m.NewLabel("more"), m.NewLabel("inside"), m.NewLabel("position"), m.NewLabel("through")
						m.Label(more)
						m.Go("CBZ %v, %s", n, through)
						m.Go("CBNZ %v, %s", walk.left, inside)
						walk.turn(enter)
						m.Label(inside)
						m.Go("CMP %v, %v", walk.left, n)
						m.Go("CSEL LT, %v, %v, %v", n, walk.left, some)
						m.Go("SUB %v, %v", some, walk.left)
						m.Go("SUB %v, %v", some, n)
						m.Loop(position)
						m.Scope(func() {
							scalars := m.Vectors(queries)
							for i := first; i < queries; i++ {
								m.Go("FMOVS (%v)(%v<<2), F%d", weights[i], index, scalars[i])
							}
							for b := range blocks {
								w.each(arm64.At(value, b*blockLanes*c.bytes), blockLanes, func(j int, v arm64.Vector) {
									for i := first; i < queries; i++ {
										m.FMLAElement(results[i][b*blockRegisters+j], v, scalars[i], 0)
									}
								})
							}
						})
						m.Go("ADD %v, %v", rowBytes, value)
						m.Add(index, 1)
						m.Go("SUBS $1, %v", some)
						m.Go("BNE %s", position)
						m.Go("B %s", more)
						m.Label(through)
					}
					undivided := m.NewLabel("undivided")
					m.Go("MOVD %s, %v", m.Argument("sums"), some)
					m.Go("CBZ %v, %s", some, undivided)
					m.Scope(func() {
						sum := m.Vector()
						for i, result := range results {
							m.LoadWord(sum, arm64.At(some, 4*i))
							m.DUP(sum, sum, 0)
							for _, r := range result {
								m.FDIV(r, r, sum)
							}
						}
					})
					m.Label(undivided)
					for i, p := range out {
						m.storeBlock(results[i], arm64.At(p, 0))
						m.Add(p, 4*chunk)
					}
				})
				m.Add(values, chunk*c.bytes)
				m.Go("SUB $%d, %v", chunk, dimensions)
				m.Go("B %s", loop)
				m.Label(done)
			}
		})
}
