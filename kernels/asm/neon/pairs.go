package main

import "github.com/tti-llm/tti/kernels/asm/arm64"

// Products of matrices of two rows and two tokens, with eight columns at a time. A register holds the sums
// [row, token], [row, next token], [next row, token], [next row, next token]; they are put in order when a tile is finished. One
// token alone is left to dot products.

// A block of eight columns of two rows is two lines of a panel, word by word in turn.
var int8Pairs = product{
	name: "int8Pairs", columns: groupColumns, panelBytes: int8Lines * lineBytes, tokenBytes: groupColumns,
	integer: true, rowScales: true, pairs: true,
	step: func(k *kernel) {
		k.startPairs(7)
		for line := 0; line < int8Lines; line += 2 {
			k.Scope(func() {
				x := k.loadPairs(line * 4)
				for p := range k.panels {
					for q := range quarters {
						k.Scope(func() {
							w := k.Vectors(3)
							at := arm64.At(k.panel[p], line*lineBytes+q*arm64.RegisterBytes)
							k.Load(w[0], at)
							k.Load(w[1], at.Offset(lineBytes))
							k.ZIP1(w[2], w[0], w[1])
							k.ZIP2(w[1], w[0], w[1])
							for pair := range x {
								k.USMMLA(k.pairSum(pair, p, 2*q), w[2], x[pair])
								k.USMMLA(k.pairSum(pair, p, 2*q+1), w[1], x[pair])
							}
						})
					}
				}
			})
		}
		k.foldPairs()
	},
}

// A line has eight columns: the low nibbles and the high ones, word by word in turn.
var int4Pairs = product{
	name: "int4Pairs", columns: groupColumns, panelBytes: int4Lines * lineBytes, tokenBytes: groupColumns,
	integer: true, pairs: true,
	constants: func(k *kernel) { k.constant = k.bytes(0x0f) },
	step: func(k *kernel) {
		k.startPairs(3)
		for line := range int4Lines {
			k.Scope(func() {
				x := k.loadPairs(line * 8)
				k.eachWeightAlone(line, func(p, q int, w arm64.Vector) {
					low := k.Vectors(2)
					k.AND(low[0], w, k.constant)
					k.USHRBytes(w, w, 4)
					k.ZIP1(low[1], low[0], w)
					k.ZIP2(w, low[0], w)
					for pair := range x {
						k.SMMLA(k.pairSum(pair, p, 2*q), low[1], x[pair])
						k.SMMLA(k.pairSum(pair, p, 2*q+1), w, x[pair])
					}
				})
			})
		}
		k.foldPairs()
	},
}

// tokenPairs returns the number of pairs of tokens. Of an odd number the last token is paired with itself.
func (k *kernel) tokenPairs() int { return (k.tokens + 1) / 2 }

// pairIndex returns which of the sums are those of two rows, eighth e of a panel, for a pair of tokens.
func (k *kernel) pairIndex(pair, panel, e int) int { return (pair*k.panels+panel)*2*quarters + e }

func (k *kernel) pairSum(pair, panel, e int) arm64.Vector { return k.sums[k.pairIndex(pair, panel, e)] }

// second returns the other token of a pair.
func (k *kernel) second(pair int) int { return min(2*pair+1, k.tokens-1) }

// eachPair returns, for each pair of tokens, their words in turn: [token, next token, token, next token].
func (k *kernel) eachPair(first arm64.Register) []arm64.Vector {
	words := k.Vectors(k.tokenPairs())
	k.Scope(func() {
		p, other := k.Register(), k.Vector()
		k.Go("MOVD %v, %v", first, p)
		for pair, v := range words {
			k.BroadcastLoad(v, p)
			if k.second(pair) == 2*pair {
				continue
			}
			k.Go("ADD %v, %v", k.rowGroups, p)
			k.BroadcastLoad(other, p)
			k.ZIP1(v, v, other)
			k.Go("ADD %v, %v", k.rowGroups, p)
		}
	})
	return words
}

// startPairs sets the sums to exactBits less the sum of the codes of each token, shifted.
func (k *kernel) startPairs(shift int) {
	k.Scope(func() {
		exact := k.exact()
		start := k.eachPair(k.xSums)
		for pair, v := range start {
			k.SHL(v, v, shift)
			k.SUB(v, exact, v)
			for i := range k.panels * 2 * quarters {
				k.Copy(k.sums[k.pairIndex(pair, 0, i)], v)
			}
		}
	})
}

// loadPairs loads eight codes of both tokens of every pair.
func (k *kernel) loadPairs(column int) []arm64.Vector {
	x := k.Vectors(k.tokenPairs())
	k.Scope(func() {
		other := k.Vector()
		for pair, v := range x {
			k.LoadDouble(v, arm64.At(k.token[2*pair], column))
			k.LoadDouble(other, arm64.At(k.token[k.second(pair)], column))
			k.ZIP1Doubles(v, v, other)
		}
	})
	return x
}

// eachWeightAlone is eachWeight with one register at a time.
func (k *kernel) eachWeightAlone(line int, body func(p, q int, w arm64.Vector)) {
	for p := range k.panels {
		for q := range quarters {
			k.Scope(func() {
				w := k.Vector()
				k.Load(w, arm64.At(k.panel[p], line*lineBytes+q*arm64.RegisterBytes))
				body(p, q, w)
			})
		}
	}
}

// foldPairs is fold for sums of pairs.
func (k *kernel) foldPairs() {
	k.toFloat()
	scales := k.eachPair(k.xScales)
	for p := range k.panels {
		for q := range quarters {
			k.Scope(func() {
				var weights [2]arm64.Vector // of two rows each
				if !k.rowScales {
					weights[1] = k.groupScale(p, q)
					weights[0] = k.Vector()
					k.ZIP1(weights[0], weights[1], weights[1])
					k.ZIP2(weights[1], weights[1], weights[1])
				}
				for pair, x := range scales {
					for half := range 2 {
						k.Scope(func() {
							scale := x
							if !k.rowScales {
								scale = k.Vector()
								k.FMUL(scale, x, weights[half])
							}
							k.foldSum(k.pairIndex(pair, p, 2*q+half), scale)
						})
					}
				}
			})
		}
	}
	k.nextScales()
}
