package main

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/tti-llm/tti/kernels/asm/arm64"
)

// argMax generates argMaxReference: the first pass finds the largest element, the second one where it is first.
func argMax(file *arm64.File) {
	function(file, "argMax", "func(x *float32, n int) (index int, nan uint32)", "is argMaxReference for n > 0; nan is not 0 if there is a NaN.",
		func(m *writer) {
			x, n := m.Parameter("x"), m.Parameter("n")
			lowest := m.number(-infinity)
			maximum, numbers := m.block(), m.block() // numbers has zeros where there was a NaN
			for i := range maximum {
				m.Copy(maximum[i], lowest)
				m.FCMEQ(numbers[i], lowest, lowest)
			}
			m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
				v := m.load(t, p[0])
				m.fill(t, lowest, v)
				for i, r := range v {
					m.larger(maximum[i], r)
					m.FCMEQ(r, r, r)
					m.AND(numbers[i], numbers[i], r)
				}
			})
			nan := m.Register()
			m.ToGeneralDouble(nan, m.nibbles(numbers))
			m.Go("MVN %v, %v", nan, nan)
			m.Go("CMP $0, %v", nan)
			m.Go("CSET NE, %v", nan)
			m.Go("MOVW %v, %s", nan, m.Argument("nan"))

			largest := m.reduce(maximum, func(d, _, x arm64.Vector) { m.larger(d, x) })
			m.DUP(largest, largest, 0)
			index, found, set := m.Register(), m.NewLabel("found"), m.Register()
			m.Go("MOVD $0, %v", index)
			m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
				equal := m.load(t, p[0])
				for _, r := range equal {
					m.FCMEQ(r, r, largest)
				}
				m.keep(t, equal)
				m.ToGeneralDouble(set, m.nibbles(equal))
				m.Go("CBNZ %v, %s", set, found)
				m.Add(index, blockLanes)
			})
			// Nothing is equal to the largest where all is NaN.
			m.Go("MOVD $0, %v", index)
			m.Go("MOVD $1, %v", set)
			m.Label(found)
			m.lowest(set, set)
			m.Go("ADD %v, %v", set, index)
			m.Go("MOVD %v, %s", index, m.Argument("index"))
		})
}

// nibbles returns, in the lower 8 bytes of a register, four bits of each of the 16 words of a block, which are all ones or zeros.
// The block is used up.
func (m *writer) nibbles(b block) arm64.Vector {
	v := m.narrow(b)
	m.NarrowNibbles(v, v)
	return v
}

// lowest returns the number of the lowest element whose nibble has a bit.
func (m *writer) lowest(nibbles, number arm64.Register) {
	m.Go("RBIT %v, %v", nibbles, number)
	m.Go("CLZ %v, %v", number, number)
	m.Go("LSR $2, %v, %v", number, number)
}

// The sizes of reference_scan.go in package kernels.
const (
	thresholdMaxima = 128
	thresholdBits   = 16
)

// threshold generates thresholdReference.
func threshold(file *arm64.File) {
	function(file, "threshold", "func(x *float32, n, k int) float32", "is thresholdReference for k > 0.", func(m *writer) {
		maxima := m.Local(4 * thresholdMaxima)
		m.maxima(maxima)
		m.Scope(func() {
			place, number, none := m.Register(), m.Register(), m.Register()
			m.highestPlace(maxima, place, number)
			m.numberAt(place, number)
			m.Go("MOVD $%#x, %v", math.Float32bits(-infinity), none)
			m.Go("CMPW $0, %v", place)
			m.Go("CSEL EQ, %v, %v, %v", none, number, number)
			m.Go("MOVW %v, %s", number, m.Argument("ret"))
		})
	})
}

// maxima writes the maxima of the elements whose index is the same modulo thresholdMaxima into the frame. First it goes over whole
// rows of so many elements, for half of them at once; then it takes in what is left behind the rows.
func (m *writer) maxima(local int) {
	x, n := m.Parameter("x"), m.Parameter("n")
	lowest := m.number(-infinity)
	const half = thresholdMaxima / 2
	rows := m.Register()
	m.Go("LSR $%d, %v, %v", bits.TrailingZeros(thresholdMaxima), n, rows)
	for first := 0; first < thresholdMaxima; first += half {
		m.Scope(func() {
			largest := m.Vectors(4 * half / arm64.RegisterBytes)
			for _, r := range largest {
				m.Copy(r, lowest)
			}
			p := m.copy(x)
			m.Add(p, 4*first)
			m.repeat(m.copy(rows), func() {
				for i := 0; i < len(largest); i += 2 {
					m.Scope(func() {
						v := m.Vectors(2)
						m.LoadPair(v[0], v[1], arm64.At(p, i*arm64.RegisterBytes))
						m.larger(largest[i], v[0])
						m.larger(largest[i+1], v[1])
					})
				}
				m.Add(p, 4*thresholdMaxima)
			})
			m.storeBlock(block(largest), arm64.At(arm64.RSP, local+4*first))
		})
	}
	m.Scope(func() {
		result := m.Register()
		m.Go("ADD $%d, RSP, %v", local, result)
		m.Go("ADD %v<<%d, %v", rows, bits.TrailingZeros(4*thresholdMaxima), x)
		m.Go("AND $%d, %v", thresholdMaxima-1, n)
		m.eachBlock(n, []arm64.Register{x, result}, func(p []arm64.Register, t *tail) {
			largest := m.load(nil, p[1])
			v := m.load(t, p[0])
			m.fill(t, lowest, v)
			for i, r := range v {
				m.larger(largest[i], r)
			}
			m.store(nil, largest, p[1])
		})
	})
}

// highestPlace finds the highest place in the order of all numbers that at least k maxima reach: the thresholdBits highest bits of
// it, one after the other; the others are 0. number is for its own use.
func (m *writer) highestPlace(local int, place, number arm64.Register) {
	bit, next, left, k := m.Register(), m.Register(), m.Register(), m.Parameter("k")
	m.Go("MOVD $0, %v", place)
	m.Go("MOVD $%#x, %v", uint32(1<<31), bit)
	m.Go("MOVD $%d, %v", thresholdBits, left)
	m.repeat(left, func() {
		m.Go("ORR %v, %v, %v", bit, place, next)
		m.numberAt(next, number)
		candidate, counts := m.Vector(), m.zeros()
		m.Broadcast(candidate, number)
		for at := 0; at < 4*thresholdMaxima; at += blockBytes {
			m.Scope(func() {
				b := m.block()
				m.loadBlock(b, arm64.At(arm64.RSP, local+at))
				for i, r := range b {
					m.FCMGE(r, r, candidate)
					m.SUB(counts[i], counts[i], r)
				}
			})
		}
		m.total(counts, number)
		m.Go("CMPW %v, %v", k, number)
		m.Go("CSEL GE, %v, %v, %v", next, place, place)
		m.Go("LSR $1, %v", bit)
	})
}

// total returns the sum of the 16 int32 of a block, which is used up.
func (m *writer) total(b block, sum arm64.Register) {
	m.ADD(b[0], b[0], b[1])
	m.ADD(b[2], b[2], b[3])
	m.ADD(b[0], b[0], b[2])
	m.ADDV(b[0], b[0])
	m.ToGeneral(sum, b[0])
}

// numberAt returns the bits of the number at a place in the order of all numbers, as numberAt of package kernels does.
func (m *writer) numberAt(place, number arm64.Register) {
	m.Scope(func() {
		mirror := m.Register()
		m.Go("EORW $%#x, %v, %v", uint32(1<<31), place, number)
		m.Go("ASRW $31, %v, %v", number, mirror)
		m.Go("LSRW $1, %v, %v", mirror, mirror)
		m.Go("EORW %v, %v", mirror, number)
	})
}

// collect generates collectReference.
func collect(file *arm64.File) {
	function(file, "collect", "func(indices *int32, x *float32, n int, threshold float32) int", "is collectReference.", func(m *writer) {
		indices, x, n := m.Parameter("indices"), m.Parameter("x"), m.Parameter("n")
		least := m.parameter("threshold")
		next, index := m.copy(indices), m.Register()
		m.Go("MOVD $0, %v", index)
		m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
			reached := m.load(t, p[0])
			for _, r := range reached {
				m.FCMGE(r, r, least)
			}
			m.keep(t, reached)
			set, number, lower := m.Register(), m.Register(), m.Register()
			none, one := m.NewLabel("none"), m.NewLabel("one")
			m.ToGeneralDouble(set, m.nibbles(reached))
			m.Go("ANDS $0x1111111111111111, %v, %v", set, set)
			m.Go("BEQ %s", none)
			m.Label(one)
			m.lowest(set, number)
			m.Go("ADD %v, %v", index, number)
			m.Go("MOVW.P %v, 4(%v)", number, next)
			m.Go("SUB $1, %v, %v", set, lower)
			m.Go("ANDS %v, %v, %v", lower, set, set)
			m.Go("BNE %s", one)
			m.Label(none)
			m.Add(index, blockLanes)
		})
		m.Go("SUB %v, %v", indices, next)
		m.Go("LSR $2, %v", next)
		m.Go("MOVD %v, %s", next, m.Argument("ret"))
	})
}

// count generates countReference.
func count(file *arm64.File) {
	function(file, "count", "func(x *float32, n int, value float32) (larger, equal int)", "is countReference.", func(m *writer) {
		x, n := m.Parameter("x"), m.Parameter("n")
		value := m.parameter("value")
		larger, equal := m.zeros(), m.zeros()
		m.eachBlock(n, []arm64.Register{x}, func(p []arm64.Register, t *tail) {
			v, same := m.load(t, p[0]), m.block()
			for i, r := range v {
				m.FCMEQ(same[i], r, value)
				m.FCMGT(r, r, value)
			}
			m.keep(t, v)
			m.keep(t, same)
			for i, r := range v {
				m.SUB(larger[i], larger[i], r)
				m.SUB(equal[i], equal[i], same[i])
			}
		})
		sum := m.Register()
		m.total(larger, sum)
		m.Go("MOVD %v, %s", sum, m.Argument("larger"))
		m.total(equal, sum)
		m.Go("MOVD %v, %s", sum, m.Argument("equal"))
	})
}

// read goes through its bytes in several streams at once, since the memory system fetches more lines at a time for several
// than for one.
const (
	readStreams = 4
	readStep    = 64 // bytes of each stream in one step
)

// read generates the fold of readReference.
func read(file *arm64.File) {
	function(file, "read", "func(p *byte, quarter int) uint64",
		fmt.Sprintf("returns the exclusive or of the 8-byte words of %d quarter bytes. quarter is a multiple of %d, not 0.", readStreams, readStep),
		func(m *writer) {
			streams, left := []arm64.Register{m.Parameter("p")}, m.Parameter("quarter")
			for i := range readStreams - 1 {
				next := m.Register()
				m.Go("ADD %v, %v, %v", left, streams[i], next)
				streams = append(streams, next)
			}
			folds := make([]block, readStreams)
			for i := range folds {
				folds[i] = m.zeros()
			}
			loop := m.NewLabel("loop")
			m.Loop(loop)
			for i, p := range streams {
				m.Scope(func() {
					for j, v := range m.load(nil, p) {
						m.EOR(folds[i][j], folds[i][j], v)
					}
				})
				m.Add(p, readStep)
			}
			m.Go("SUBS $%d, %v", readStep, left)
			m.Go("BNE %s", loop)
			total := folds[0]
			for _, fold := range folds[1:] {
				for j := range fold {
					m.EOR(total[j], total[j], fold[j])
				}
			}
			for _, v := range total[1:] {
				m.EOR(total[0], total[0], v)
			}
			low, high := m.Register(), m.Register()
			m.ToGeneralDouble(low, total[0])
			m.UpperToGeneral(high, total[0])
			m.Go("EOR %v, %v", high, low)
			m.Go("MOVD %v, %s", low, m.Argument("ret"))
		})
}
