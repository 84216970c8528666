package main

import "github.com/tti-llm/tti/kernels/asm/arm64"

// An integer product takes a group of 64 columns in a step: it sums it exactly in int32, and then folds the sums into float32
// ones in the order that the definition asks for. Of larger tiles these lie in memory: the registers are needed for the integers.
//
// The int32 sums start at the bits of the float32 1.5 * 2^23 and stay within 2^22 of it: read as float32 they are that number
// plus the integer, and a subtraction makes them float32, exactly. So it costs no conversion, which is slow on many CPUs.
const exactBits = 0x4b400000

const (
	int8Lines = groupColumns / 4 // of a panel in a group
	int4Lines = groupColumns / 8
)

var int8Signed = product{
	name: "int8", columns: groupColumns, panelBytes: int8Lines * lineBytes, tokenBytes: groupColumns,
	integer: true, rowScales: true,
	constants: func(k *kernel) { k.sign = k.bytes(0x80) },
	step: func(k *kernel) {
		k.start(k.exact())
		k.dots(int8Lines, func(w arm64.Vector) { k.EOR(w, w, k.sign) }, k.SDOT)
		k.fold()
	},
}

// The stored codes are taken as they are, 128 too large; the sums start lower by as much.
var int8Unsigned = product{
	name: "int8", columns: groupColumns, panelBytes: int8Lines * lineBytes, tokenBytes: groupColumns,
	integer: true, rowScales: true,
	step: func(k *kernel) {
		k.start(k.exactLess(7)...)
		k.dots(int8Lines, func(arm64.Vector) {}, k.USDOT)
		k.fold()
	},
}

// Nibbles are stored 8 too large, and so they are bytes with or without a sign.
var int4Nibbles = product{
	name: "int4", columns: groupColumns, panelBytes: int4Lines * lineBytes, tokenBytes: groupColumns,
	integer:   true,
	constants: func(k *kernel) { k.sign = k.bytes(0x0f) },
	step: func(k *kernel) {
		k.start(k.exactLess(3)...)
		k.nibbleDots()
		k.fold()
	},
}

// bytes returns a register with a value in all bytes.
func (k *kernel) bytes(value uint32) arm64.Vector {
	v := k.Vector()
	k.Constant(v, value*0x01010101)
	return v
}

// exact returns a register with exactBits in all words.
func (k *kernel) exact() arm64.Vector {
	v := k.Vector()
	k.Constant(v, exactBits)
	return v
}

// exactLess returns exactBits less the sum of the codes of each token, shifted.
func (k *kernel) exactLess(shift int) []arm64.Vector {
	exact := k.exact()
	start := k.each(k.xSums)
	for _, v := range start {
		k.SHL(v, v, shift)
		k.SUB(v, exact, v)
	}
	k.FreeVectors(exact)
	return start
}

// each returns registers with a word of each token in all lanes. The words of the first one begin at a pointer.
func (k *kernel) each(first arm64.Register) []arm64.Vector {
	words := k.Vectors(k.tokens)
	k.Scope(func() {
		p := k.Register()
		k.Go("MOVD %v, %v", first, p)
		for t, v := range words {
			k.BroadcastLoad(v, p)
			if t+1 < len(words) {
				k.Go("ADD %v, %v", k.rowGroups, p)
			}
		}
	})
	return words
}

// start sets the sums of every token to a register of its own, or all to the same. It gives the registers back.
func (k *kernel) start(values ...arm64.Vector) {
	for i, sum := range k.sums {
		k.Copy(sum, values[i*len(values)/len(k.sums)])
	}
	k.FreeVectors(values...)
}

// dots adds the dot products of a group: a line is four columns of each row, side by side.
func (k *kernel) dots(lines int, prepare func(w arm64.Vector), dot func(sum, w, x arm64.Vector, i int)) {
	const xLines = 4 // that a register of codes is for
	for line := 0; line < lines; line += xLines {
		k.Scope(func() {
			x := k.loadCodes(line * 4)
			for i := range xLines {
				k.eachWeight(line+i, func(p, q int, w arm64.Vector) {
					prepare(w)
					for t := range x {
						dot(k.sum(t, p, q), w, x[t], i)
					}
				})
			}
		})
	}
}

// nibbleDots is dots for lines whose low nibbles are four columns, and whose high ones the next four.
func (k *kernel) nibbleDots() {
	const xLines = 2
	for line := 0; line < int4Lines; line += xLines {
		k.Scope(func() {
			x := k.loadCodes(line * 8)
			for i := range xLines {
				k.eachWeight(line+i, func(p, q int, w arm64.Vector) {
					low := k.Vector()
					k.AND(low, w, k.sign)
					k.USHRBytes(w, w, 4)
					for t := range x {
						k.SDOT(k.sum(t, p, q), low, x[t], 2*i)
					}
					for t := range x {
						k.SDOT(k.sum(t, p, q), w, x[t], 2*i+1)
					}
				})
			}
		})
	}
}

// loadCodes loads 16 codes of every token.
func (k *kernel) loadCodes(column int) []arm64.Vector {
	x := k.Vectors(k.tokens)
	for t := range x {
		k.Load(x[t], arm64.At(k.token[t], column))
	}
	return x
}

// eachWeight calls body for each register of weights in a line of the panels.
func (k *kernel) eachWeight(line int, body func(p, q int, w arm64.Vector)) {
	for p := range k.panels {
		for q := 0; q < quarters; q += 2 {
			k.Scope(func() {
				w := k.Vectors(2)
				k.LoadPair(w[0], w[1], arm64.At(k.panel[p], line*lineBytes+q*arm64.RegisterBytes))
				for i := range w {
					k.Scope(func() { body(p, q+i, w[i]) })
				}
			})
		}
	}
}

// fold adds the integer sums of a group, times the scales of activations and of a group of weights, to the float32 sums, and
// goes on to the scales of the next group.
func (k *kernel) fold() {
	k.toFloat()
	scales := k.each(k.xScales)
	for p := range k.panels {
		for q := range quarters {
			k.Scope(func() {
				var weights arm64.Vector
				if !k.rowScales {
					weights = k.groupScale(p, q)
				}
				for t := range k.tokens {
					k.Scope(func() {
						scale := scales[t]
						if !k.rowScales {
							scale = k.Vector()
							k.FMUL(scale, scales[t], weights)
						}
						k.foldSum(k.index(t, p, q), scale)
					})
				}
			})
		}
	}
	k.nextScales()
}

// groupScale loads the scales of four rows of a panel.
func (k *kernel) groupScale(p, q int) arm64.Vector {
	v := k.Vector()
	k.LoadDouble(v, arm64.At(k.groupScales[p], 8*q))
	k.FCVTL(v, v)
	return v
}

// toFloat makes the integer sums float32.
func (k *kernel) toFloat() {
	exact := k.exact()
	for _, sum := range k.sums {
		k.FSUB(sum, sum, exact)
	}
	k.FreeVectors(exact)
}

// foldSum adds one register of sums, times a scale, to its float32 ones.
func (k *kernel) foldSum(i int, scale arm64.Vector) {
	folded := k.float(i)
	k.FMLA(folded, k.sums[i], scale)
	if k.held == nil {
		k.Store(folded, k.foldedAt(i))
	}
}

func (k *kernel) nextScales() {
	k.Add(k.xScales, 4)
	k.Add(k.xSums, 4)
	for _, p := range k.groupScales {
		k.Add(p, 2*panelRows)
	}
}
