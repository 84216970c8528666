package main

import (
	"math"

	"github.com/tti-llm/tti/kernels/asm/arithmetic"
	"github.com/tti-llm/tti/kernels/asm/arm64"
)

// groupBlocks is how many blocks a group has, as in reference_quantize.go of package kernels.
const groupBlocks = groupColumns / blockLanes

// enlarge sets each element of largest to the magnitude of that of a block where it is larger. They are compared as integers, so
// that infinity and NaN are the largest.
func (m *writer) enlarge(largest, b block) {
	m.Scope(func() {
		magnitude := m.block()
		for i := range b {
			m.FABS(magnitude[i], b[i])
			m.UMAX(largest[i], largest[i], magnitude[i])
		}
	})
}

// quantization stores the scale of some values, given the largest magnitudes among them, and returns in all lanes the factor that
// makes codes of the values. It is 0 where the scale is 0 or NaN: then every product is zero or NaN, of which FCVTNS makes 0.
func (m *writer) quantization(largest block, scale arm64.Address) (factor arm64.Vector) {
	factor = m.Vector()
	m.Scope(func() {
		special, done := m.NewLabel("special"), m.NewLabel("scaled")
		magnitude, limit, bits, value := largest[0], m.number(127), m.Register(), m.Register()
		m.UMAX(magnitude, magnitude, largest[1])
		m.UMAX(largest[2], largest[2], largest[3])
		m.UMAX(magnitude, magnitude, largest[2])
		m.UMAXV(magnitude, magnitude)
		m.ToGeneral(bits, magnitude)
		m.Go("MOVD $%#x, %v", math.Float32bits(infinity), value)
		m.Go("CMPW %v, %v", value, bits)
		m.Go("BHS %s", special)
		m.Go("MOVD $%#x, %v", math.Float32bits(arithmetic.MinQuantized), value)
		m.Go("CMPW %v, %v", value, bits)
		m.Go("MOVD $0, %v", value)
		m.Go("BLO %s", special+"zero")
		quotient := m.Vector()
		m.Go("FDIVS F%d, F%d, F%d", limit, magnitude, quotient)
		m.StoreWord(quotient, scale)
		m.Go("FDIVS F%d, F%d, F%d", magnitude, limit, quotient)
		m.DUP(factor, quotient, 0)
		m.Go("B %s", done)
		m.Label(special)
		m.Go("MOVD $0x7fc00000, %v", value)
		m.Label(special + "zero")
		m.Go("MOVW %v, %v", value, scale)
		m.Clear(factor)
		m.Label(done)
	})
	return factor
}

// codes replaces the elements of a block by their codes as int32.
func (m *writer) codes(factor arm64.Vector, b block) {
	for _, r := range b {
		m.FMUL(r, r, factor)
		m.FCVTNS(r, r)
	}
}

// narrow packs the lowest bytes of the 16 words of a block into one register. The block is used up.
func (m *writer) narrow(b block) arm64.Vector {
	m.UZP1Halves(b[0], b[0], b[1])
	m.UZP1Halves(b[2], b[2], b[3])
	m.UZP1Bytes(b[0], b[0], b[2])
	return b[0]
}

// quantize generates quantizeReference.
func quantize(file *arm64.File) {
	function(file, "quantize", "func(codes *int8, scales *float32, sums *int32, x *float32, groups int)",
		"is quantizeReference for groups of 64 values.", func(m *writer) {
			codes, scales, sums, x := m.Parameter("codes"), m.Parameter("scales"), m.Parameter("sums"), m.Parameter("x")
			m.repeat(m.Parameter("groups"), func() {
				largest := m.zeros()
				values := make([]block, groupBlocks)
				for i := range values {
					values[i] = m.block()
					m.loadBlock(values[i], arm64.At(x, blockBytes*i))
					m.enlarge(largest, values[i])
				}
				factor := m.quantization(largest, arm64.At(scales, 0))
				total := m.zeros()
				for i, v := range values {
					m.codes(factor, v)
					for j, r := range v {
						m.ADD(total[j], total[j], r)
					}
					m.Store(m.narrow(v), arm64.At(codes, blockLanes*i))
				}
				m.ADD(total[0], total[0], total[1])
				m.ADD(total[2], total[2], total[3])
				m.ADD(total[0], total[0], total[2])
				m.ADDV(total[0], total[0])
				m.StoreWord(total[0], arm64.At(sums, 0))
				m.Add(x, 4*groupColumns)
				m.Add(codes, groupColumns)
				m.Add(scales, 4)
				m.Add(sums, 4)
			})
		})
}

// A placement says where the numbers of a row go in a KV cache: those of a key lie among those of other positions, those of a value
// one after the other.
type placement struct {
	name   string
	stride int // in numbers
}

var placements = []placement{{"Key", blockLanes}, {"Value", 1}}

// storeHalf generates the conversion of a key or value to binary16.
func storeHalf(file *arm64.File, place placement) {
	function(file, "store"+place.name+"F16", "func(dst *byte, src *float32, blocks int)",
		"stores blocks of 16 numbers in binary16, as storeReference does.", func(m *writer) {
			dst, src := m.Parameter("dst"), m.Parameter("src")
			step := m.Register()
			m.Go("MOVD $%d, %v", 2*place.stride, step)
			m.repeat(m.Parameter("blocks"), func() {
				b := m.block()
				m.loadBlock(b, arm64.At(src, 0))
				for i := 0; i < len(b); i += 2 {
					m.FCVTN(b[i], b[i])
					m.FCVTN2(b[i], b[i+1])
					if place.stride == 1 {
						m.Store(b[i], arm64.At(dst, i*arm64.RegisterBytes/2))
						continue
					}
					for j := range 8 {
						m.StoreHalf(b[i], j, dst, step)
					}
				}
				if place.stride == 1 {
					m.Add(dst, 2*blockLanes)
				}
				m.Add(src, blockBytes)
			})
		})
}

// storeInt8 generates the quantization of a key or value.
func storeInt8(file *arm64.File, place placement) {
	function(file, "store"+place.name+"Int8", "func(dst *byte, scale, src *float32, blocks int)",
		"stores blocks of 16 numbers in int8, and their scale, as storeReference does.", func(m *writer) {
			dst, scale, src := m.Parameter("dst"), m.Parameter("scale"), m.Parameter("src")
			step := m.Register()
			m.Go("MOVD $%d, %v", place.stride, step)
			largest := m.zeros()
			p := m.copy(src)
			m.repeat(m.Parameter("blocks"), func() {
				b := m.block()
				m.loadBlock(b, arm64.At(p, 0))
				m.enlarge(largest, b)
				m.Add(p, blockBytes)
			})
			factor := m.quantization(largest, arm64.At(scale, 0))
			m.repeat(m.Parameter("blocks"), func() {
				b := m.block()
				m.loadBlock(b, arm64.At(src, 0))
				m.codes(factor, b)
				packed := m.narrow(b)
				if place.stride == 1 {
					m.Store(packed, arm64.At(dst, 0))
					m.Add(dst, blockLanes)
				} else {
					for j := range blockLanes {
						m.StoreByte(packed, j, dst, step)
					}
				}
				m.Add(src, blockBytes)
			})
		})
}
