package arm64

import "fmt"

// Instructions that Go's assembler does not know, or not in this form. The destination comes first, as in Arm's manual
// ("Arm Architecture Reference Manual for A-profile architecture", DDI 0487, C7.2), which the bits are from.

// An arrangement says what a vector register holds, as GNU's assembler writes it.
type arrangement string

const (
	b16 arrangement = "16b"
	b8  arrangement = "8b"
	h8  arrangement = "8h"
	h4  arrangement = "4h"
	s4  arrangement = "4s"
	d2  arrangement = "2d"
)

// three writes an instruction of three vector registers.
func (a *Assembler) three(name string, bits uint32, to, from arrangement, d, n, m Vector) {
	a.word(bits|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s, v%d.%s", name, d, to, n, from, m, from)
}

// two writes an instruction of two vector registers.
func (a *Assembler) two(name string, bits uint32, to, from arrangement, d, n Vector) {
	a.word(bits|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s", name, d, to, n, from)
}

// byElement writes an instruction that multiplies by one element of four.
func (a *Assembler) byElement(name string, bits uint32, from, element string, d, n, m Vector, i int) {
	bits |= uint32(i&1)<<21 | uint32(i>>1)<<11
	a.word(bits|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.%s, v%d.%s[%d]", name, d, n, from, m, element, i)
}

// Arithmetic of four float32.

func (a *Assembler) FADD(d, n, m Vector)  { a.three("fadd", 0x4e20d400, s4, s4, d, n, m) }
func (a *Assembler) FSUB(d, n, m Vector)  { a.three("fsub", 0x4ea0d400, s4, s4, d, n, m) }
func (a *Assembler) FMUL(d, n, m Vector)  { a.three("fmul", 0x6e20dc00, s4, s4, d, n, m) }
func (a *Assembler) FDIV(d, n, m Vector)  { a.three("fdiv", 0x6e20fc00, s4, s4, d, n, m) }
func (a *Assembler) FMLA(d, n, m Vector)  { a.three("fmla", 0x4e20cc00, s4, s4, d, n, m) }
func (a *Assembler) FMLS(d, n, m Vector)  { a.three("fmls", 0x4ea0cc00, s4, s4, d, n, m) }
func (a *Assembler) FCMGT(d, n, m Vector) { a.three("fcmgt", 0x6ea0e400, s4, s4, d, n, m) }
func (a *Assembler) FCMGE(d, n, m Vector) { a.three("fcmge", 0x6e20e400, s4, s4, d, n, m) }
func (a *Assembler) FCMEQ(d, n, m Vector) { a.three("fcmeq", 0x4e20e400, s4, s4, d, n, m) }
func (a *Assembler) FABS(d, n Vector)     { a.two("fabs", 0x4ea0f800, s4, s4, d, n) }
func (a *Assembler) FNEG(d, n Vector)     { a.two("fneg", 0x6ea0f800, s4, s4, d, n) }
func (a *Assembler) FRINTN(d, n Vector)   { a.two("frintn", 0x4e218800, s4, s4, d, n) }

// FCVTNS rounds to the nearest int32, ties to even. It saturates.
func (a *Assembler) FCVTNS(d, n Vector) { a.two("fcvtns", 0x4e21a800, s4, s4, d, n) }

func (a *Assembler) FMULElement(d, n, m Vector, i int) {
	a.byElement("fmul", 0x4f809000, "4s", "s", d, n, m, i)
}
func (a *Assembler) FMLAElement(d, n, m Vector, i int) {
	a.byElement("fmla", 0x4f801000, "4s", "s", d, n, m, i)
}

// FCVTL widens the lower four binary16, FCVTL2 the upper four; FCVTN narrows to the lower four, FCVTN2 to the upper four.
func (a *Assembler) FCVTL(d, n Vector)  { a.two("fcvtl", 0x0e217800, s4, h4, d, n) }
func (a *Assembler) FCVTL2(d, n Vector) { a.two("fcvtl2", 0x4e217800, s4, h8, d, n) }
func (a *Assembler) FCVTN(d, n Vector)  { a.two("fcvtn", 0x0e216800, h4, s4, d, n) }
func (a *Assembler) FCVTN2(d, n Vector) { a.two("fcvtn2", 0x4e216800, h8, s4, d, n) }

// Bits.

func (a *Assembler) AND(d, n, m Vector) { a.three("and", 0x4e201c00, b16, b16, d, n, m) }
func (a *Assembler) BIC(d, n, m Vector) { a.three("bic", 0x4e601c00, b16, b16, d, n, m) }
func (a *Assembler) ORR(d, n, m Vector) { a.three("orr", 0x4ea01c00, b16, b16, d, n, m) }
func (a *Assembler) EOR(d, n, m Vector) { a.three("eor", 0x6e201c00, b16, b16, d, n, m) }

// BSL takes n where d has ones, m where it has zeros. BIT sets d to n where m has ones.
func (a *Assembler) BSL(d, n, m Vector) { a.three("bsl", 0x6e601c00, b16, b16, d, n, m) }
func (a *Assembler) BIT(d, n, m Vector) { a.three("bit", 0x6ea01c00, b16, b16, d, n, m) }

// Copy copies a register.
func (a *Assembler) Copy(d, n Vector) { a.ORR(d, n, n) }

// Clear sets registers to zero.
func (a *Assembler) Clear(registers ...Vector) {
	for _, d := range registers {
		a.word(0x6f00e400|uint32(d), "movi v%d.2d, #0", d)
	}
}

// Integers.

func (a *Assembler) ADD(d, n, m Vector)  { a.three("add", 0x4ea08400, s4, s4, d, n, m) }
func (a *Assembler) SUB(d, n, m Vector)  { a.three("sub", 0x6ea08400, s4, s4, d, n, m) }
func (a *Assembler) ADDP(d, n, m Vector) { a.three("addp", 0x4ea0bc00, s4, s4, d, n, m) }
func (a *Assembler) UMAX(d, n, m Vector) { a.three("umax", 0x6ea06400, s4, s4, d, n, m) }

// ADDV and UMAXV write the sum and the maximum of four words to the lowest one.
func (a *Assembler) ADDV(d, n Vector) {
	a.word(0x4eb1b800|uint32(n)<<5|uint32(d), "addv s%d, v%d.4s", d, n)
}
func (a *Assembler) UMAXV(d, n Vector) {
	a.word(0x6eb0a800|uint32(n)<<5|uint32(d), "umaxv s%d, v%d.4s", d, n)
}

// SHL shifts words to the left.
func (a *Assembler) SHL(d, n Vector, shift int) {
	a.word(0x4f205400|uint32(shift)<<16|uint32(n)<<5|uint32(d), "shl v%d.4s, v%d.4s, #%d", d, n, shift)
}

// USHRBytes shifts bytes to the right.
func (a *Assembler) USHRBytes(d, n Vector, shift int) {
	a.word(0x6f000400|uint32(16-shift)<<16|uint32(n)<<5|uint32(d), "ushr v%d.16b, v%d.16b, #%d", d, n, shift)
}

// SMULL multiplies the lower eight bytes to halfwords, SMULL2 the upper eight; SMLAL and SMLAL2 add to what is there.
func (a *Assembler) SMULL(d, n, m Vector)  { a.three("smull", 0x0e20c000, h8, b8, d, n, m) }
func (a *Assembler) SMULL2(d, n, m Vector) { a.three("smull2", 0x4e20c000, h8, b16, d, n, m) }
func (a *Assembler) SMLAL(d, n, m Vector)  { a.three("smlal", 0x0e208000, h8, b8, d, n, m) }
func (a *Assembler) SMLAL2(d, n, m Vector) { a.three("smlal2", 0x4e208000, h8, b16, d, n, m) }

// SADALP adds pairs of halfwords to words, SADDLP writes their sums.
func (a *Assembler) SADALP(d, n Vector) { a.two("sadalp", 0x4e606800, s4, h8, d, n) }
func (a *Assembler) SADDLP(d, n Vector) { a.two("saddlp", 0x4e602800, s4, h8, d, n) }

// SDOT adds to each word of d the products of its four signed bytes of n with four signed bytes of m, those of number i.
func (a *Assembler) SDOT(d, n, m Vector, i int) {
	a.needs("dotprod")
	a.byElement("sdot", 0x4f80e000, "16b", "4b", d, n, m, i)
}

// USDOT is SDOT with unsigned bytes of n.
func (a *Assembler) USDOT(d, n, m Vector, i int) {
	a.needs("i8mm")
	a.byElement("usdot", 0x4f80f000, "16b", "4b", d, n, m, i)
}

// USMMLA and SMMLA multiply matrices: n has two rows of 8 bytes, unsigned or signed, m two columns of 8 signed bytes; the
// products are added to d, [row 0 column 0, row 0 column 1, row 1 column 0, row 1 column 1].
func (a *Assembler) USMMLA(d, n, m Vector) {
	a.needs("i8mm")
	a.three("usmmla", 0x4e80ac00, s4, b16, d, n, m)
}
func (a *Assembler) SMMLA(d, n, m Vector) {
	a.needs("i8mm")
	a.three("smmla", 0x4e80a400, s4, b16, d, n, m)
}

// Moves within registers.

func (a *Assembler) ZIP1(d, n, m Vector)        { a.three("zip1", 0x4e803800, s4, s4, d, n, m) }
func (a *Assembler) ZIP2(d, n, m Vector)        { a.three("zip2", 0x4e807800, s4, s4, d, n, m) }
func (a *Assembler) ZIP1Doubles(d, n, m Vector) { a.three("zip1", 0x4ec03800, d2, d2, d, n, m) }
func (a *Assembler) ZIP2Doubles(d, n, m Vector) { a.three("zip2", 0x4ec07800, d2, d2, d, n, m) }
func (a *Assembler) UZP1(d, n, m Vector)        { a.three("uzp1", 0x4e801800, s4, s4, d, n, m) }
func (a *Assembler) UZP2(d, n, m Vector)        { a.three("uzp2", 0x4e805800, s4, s4, d, n, m) }

// UZP1Halves and UZP1Bytes take the lower halves of words, and of halfwords.
func (a *Assembler) UZP1Halves(d, n, m Vector) { a.three("uzp1", 0x4e401800, h8, h8, d, n, m) }
func (a *Assembler) UZP1Bytes(d, n, m Vector)  { a.three("uzp1", 0x4e001800, b16, b16, d, n, m) }

// These take bytes and halfwords of n and m in turn.
func (a *Assembler) ZIP1Bytes(d, n, m Vector)  { a.three("zip1", 0x4e003800, b16, b16, d, n, m) }
func (a *Assembler) ZIP2Bytes(d, n, m Vector)  { a.three("zip2", 0x4e007800, b16, b16, d, n, m) }
func (a *Assembler) ZIP1Halves(d, n, m Vector) { a.three("zip1", 0x4e403800, h8, h8, d, n, m) }
func (a *Assembler) ZIP2Halves(d, n, m Vector) { a.three("zip2", 0x4e407800, h8, h8, d, n, m) }

// EXT takes 16 bytes of n and m together from byte i of n on.
func (a *Assembler) EXT(d, n, m Vector, i int) {
	a.word(0x6e000000|uint32(m)<<16|uint32(i)<<11|uint32(n)<<5|uint32(d), "ext v%d.16b, v%d.16b, v%d.16b, #%d", d, n, m, i)
}

// NarrowNibbles keeps four bits of each byte of n, in 8 bytes: SHRN by 4.
func (a *Assembler) NarrowNibbles(d, n Vector) {
	a.word(0x0f0c8400|uint32(n)<<5|uint32(d), "shrn v%d.8b, v%d.8h, #4", d, n)
}

// DUP copies word i of n to all words.
func (a *Assembler) DUP(d, n Vector, i int) {
	a.word(0x4e040400|uint32(i)<<19|uint32(n)<<5|uint32(d), "dup v%d.4s, v%d.s[%d]", d, n, i)
}

// Broadcast copies the lower word of a general register to all words, BroadcastByte its lowest byte to all bytes,
// BroadcastDouble all of it to both halves.
func (a *Assembler) Broadcast(d Vector, r Register) {
	a.word(0x4e040c00|uint32(r)<<5|uint32(d), "dup v%d.4s, w%d", d, r)
}
func (a *Assembler) BroadcastByte(d Vector, r Register) {
	a.word(0x4e010c00|uint32(r)<<5|uint32(d), "dup v%d.16b, w%d", d, r)
}
func (a *Assembler) BroadcastDouble(d Vector, r Register) {
	a.word(0x4e080c00|uint32(r)<<5|uint32(d), "dup v%d.2d, x%d", d, r)
}

// BroadcastLoad loads a word and copies it to all words.
func (a *Assembler) BroadcastLoad(d Vector, base Register) {
	a.word(0x4d40c800|uint32(base)<<5|uint32(d), "ld1r {v%d.4s}, [x%d]", d, base)
}

// BroadcastNext is BroadcastLoad and goes on by 4 bytes.
func (a *Assembler) BroadcastNext(d Vector, base Register) {
	a.word(0x4ddfc800|uint32(base)<<5|uint32(d), "ld1r {v%d.4s}, [x%d], #4", d, base)
}

// StoreHalf stores halfword i and goes on by step bytes, StoreByte byte i.
func (a *Assembler) StoreHalf(d Vector, i int, base, step Register) {
	a.word(0x0d804000|uint32(i>>2)<<30|uint32(i>>1&1)<<12|uint32(i&1)<<11|uint32(step)<<16|uint32(base)<<5|uint32(d),
		"st1 {v%d.h}[%d], [x%d], x%d", d, i, base, step)
}
func (a *Assembler) StoreByte(d Vector, i int, base, step Register) {
	a.word(0x0d800000|uint32(i>>3)<<30|uint32(i>>2&1)<<12|uint32(i&3)<<10|uint32(step)<<16|uint32(base)<<5|uint32(d),
		"st1 {v%d.b}[%d], [x%d], x%d", d, i, base, step)
}

// ToGeneral copies the lower word, ToGeneralDouble the lower 8 bytes, UpperToGeneral the upper 8 bytes.
func (a *Assembler) ToGeneral(r Register, n Vector) {
	a.word(0x1e260000|uint32(n)<<5|uint32(r), "fmov w%d, s%d", r, n)
}
func (a *Assembler) ToGeneralDouble(r Register, n Vector) {
	a.word(0x9e660000|uint32(n)<<5|uint32(r), "fmov x%d, d%d", r, n)
}
func (a *Assembler) UpperToGeneral(r Register, n Vector) {
	a.word(0x4e183c00|uint32(n)<<5|uint32(r), "mov x%d, v%d.d[1]", r, n)
}

// Memory. An Address is a general register and a displacement in bytes.

// RSP is the stack pointer, the base of addresses of locals.
const RSP Register = -1

type Address struct {
	Base Register
	Disp int
}

func (p Address) String() string {
	if p.Base == RSP {
		return fmt.Sprintf("%d(RSP)", p.Disp)
	}
	return fmt.Sprintf("%d(%v)", p.Disp, p.Base)
}

// Offset returns the address some bytes on.
func (p Address) Offset(bytes int) Address { return Address{p.Base, p.Disp + bytes} }

// At returns an address.
func At(base Register, displacement int) Address { return Address{base, displacement} }

// Load loads 16 bytes, LoadDouble 8, LoadWord 4 with zeros above.
func (a *Assembler) Load(d Vector, p Address)       { a.Go("FMOVQ %v, F%d", p, d) }
func (a *Assembler) LoadDouble(d Vector, p Address) { a.Go("FMOVD %v, F%d", p, d) }
func (a *Assembler) LoadWord(d Vector, p Address)   { a.Go("FMOVS %v, F%d", p, d) }

// LoadPair loads 32 bytes into two registers. The displacement is a multiple of 16 between -1024 and 1008.
func (a *Assembler) LoadPair(d, e Vector, p Address) { a.Go("FLDPQ %v, (F%d, F%d)", p, d, e) }

// Store stores 16 bytes, StoreWord the lowest 4.
func (a *Assembler) Store(d Vector, p Address)        { a.Go("FMOVQ F%d, %v", d, p) }
func (a *Assembler) StoreWord(d Vector, p Address)    { a.Go("FMOVS F%d, %v", d, p) }
func (a *Assembler) StorePair(d, e Vector, p Address) { a.Go("FSTPQ (F%d, F%d), %v", d, e, p) }

// Add adds to a general register.
func (a *Assembler) Add(r Register, bytes int) { a.Go("ADD $%d, %v", bytes, r) }

// Constant broadcasts the bits of a word, by way of a general register.
func (a *Assembler) Constant(d Vector, bits uint32) {
	a.Scope(func() {
		r := a.Register()
		a.Go("MOVD $%#x, %v", bits, r)
		a.Broadcast(d, r)
	})
}
