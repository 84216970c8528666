package main

import "github.com/tti-llm/tti/kernels/asm/arm64"

// Products without a dot product of bytes: bytes are multiplied to halfwords. The 8 products of a register are four columns
// of two rows, so that a row has two words of sums, which are added at the end of a group.

// Two products of int8 may not fit into a halfword: -128 * -128 twice. So each is added to words at once.
var int8Halves = product{
	name: "int8", columns: groupColumns, panelBytes: int8Lines * lineBytes, tokenBytes: groupColumns,
	integer: true, rowScales: true,
	constants: func(k *kernel) { k.constant = k.bytes(0x80) },
	step: func(k *kernel) {
		sums := k.rowPairs()
		// One of the two words of each row starts at exactBits.
		k.Scope(func() {
			start, bits := k.Vector(), k.Register()
			k.Go("MOVD $%#x, %v", exactBits, bits)
			k.BroadcastDouble(start, bits)
			for _, s := range sums {
				k.Copy(s, start)
			}
		})
		x := k.codePointers()
		for line := range int8Lines {
			k.Scope(func() {
				codes := k.nextCodes(x)
				k.eachWeight(line, func(p, q int, w arm64.Vector) {
					k.EOR(w, w, k.constant)
					for t := range codes {
						s := sums[2*k.index(t, p, q):]
						k.Scope(func() {
							product := k.Vectors(2)
							k.SMULL(product[0], w, codes[t])
							k.SMULL2(product[1], w, codes[t])
							k.SADALP(s[0], product[0])
							k.SADALP(s[1], product[1])
						})
					}
				})
			})
		}
		k.joinPairs(sums)
		k.fold()
	},
}

// The 16 products of a group, of a nibble and a code each, fit into a halfword: 16 * 15 * 128 < 2^15.
var int4Halves = product{
	name: "int4", columns: groupColumns, panelBytes: int4Lines * lineBytes, tokenBytes: groupColumns,
	integer:   true,
	constants: func(k *kernel) { k.constant = k.bytes(0x0f) },
	step: func(k *kernel) {
		sums := k.rowPairs()
		k.Clear(sums...)
		x := k.codePointers()
		for line := range int4Lines {
			k.Scope(func() {
				low, high := k.nextCodes(x), k.nextCodes(x)
				k.eachWeight(line, func(p, q int, w arm64.Vector) {
					nibbles := k.Vector()
					k.AND(nibbles, w, k.constant)
					k.USHRBytes(w, w, 4)
					for t := range low {
						s := sums[2*k.index(t, p, q):]
						k.SMLAL(s[0], nibbles, low[t])
						k.SMLAL2(s[1], nibbles, low[t])
						k.SMLAL(s[0], w, high[t])
						k.SMLAL2(s[1], w, high[t])
					}
				})
			})
		}
		for _, s := range sums {
			k.SADDLP(s, s)
		}
		k.joinPairs(sums)
		k.Scope(func() {
			start := k.exactLess(3)
			for i, s := range k.sums {
				k.ADD(s, s, start[i*len(start)/len(k.sums)])
			}
		})
		k.fold()
	},
}

// rowPairs returns two registers of sums for each of k.sums, which are their first ones.
func (k *kernel) rowPairs() []arm64.Vector {
	seconds := k.Vectors(len(k.sums))
	var sums []arm64.Vector
	for i, s := range k.sums {
		sums = append(sums, s, seconds[i])
	}
	return sums
}

// joinPairs adds the words of each row, into k.sums.
func (k *kernel) joinPairs(sums []arm64.Vector) {
	for i, s := range k.sums {
		k.ADDP(s, sums[2*i], sums[2*i+1])
		k.FreeVectors(sums[2*i+1])
	}
}

// codePointers returns copies of the tokens' pointers.
func (k *kernel) codePointers() []arm64.Register {
	x := k.pointers(k.tokens)
	for t := range x {
		k.Go("MOVD %v, %v", k.token[t], x[t])
	}
	return x
}

// nextCodes loads the next four codes of every token, for all rows.
func (k *kernel) nextCodes(x []arm64.Register) []arm64.Vector {
	codes := k.Vectors(k.tokens)
	for t := range codes {
		k.BroadcastNext(codes[t], x[t])
	}
	return codes
}
