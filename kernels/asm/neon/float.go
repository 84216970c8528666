package main

import "github.com/tti-llm/tti/kernels/asm/arm64"

// stepColumns is how many columns of a float product a step takes: a register of activations has so many, and multiplies by
// element.
const stepColumns = 4

// A line is one column of 16 float32.
var f32 = product{
	name: "f32", columns: stepColumns, panelBytes: stepColumns * lineBytes, tokenBytes: stepColumns * 4,
	step: func(k *kernel) {
		x := k.loadTokens()
		for column := range stepColumns {
			for p := range k.panels {
				for q := 0; q < quarters; q += 2 {
					k.Scope(func() {
						w := k.Vectors(2)
						k.LoadPair(w[0], w[1], arm64.At(k.panel[p], column*lineBytes+q*arm64.RegisterBytes))
						for i := range w {
							k.multiply(p, q+i, column, w[i], x)
						}
					})
				}
			}
		}
	},
}

// A line is two columns of 16 binary16, one after the other. A register holds half of the rows.
var f16 = product{
	name: "f16", columns: stepColumns, panelBytes: stepColumns / 2 * lineBytes, tokenBytes: stepColumns * 4,
	step: func(k *kernel) {
		x := k.loadTokens()
		for column := range stepColumns {
			for p := range k.panels {
				for q := 0; q < quarters; q += 2 {
					k.Scope(func() {
						w := k.Vectors(2)
						k.Load(w[1], arm64.At(k.panel[p], column*lineBytes/2+q/2*arm64.RegisterBytes))
						k.FCVTL(w[0], w[1])
						k.FCVTL2(w[1], w[1])
						for i := range w {
							k.multiply(p, q+i, column, w[i], x)
						}
					})
				}
			}
		}
	},
}

// loadTokens loads the activations of a step.
func (k *kernel) loadTokens() []arm64.Vector {
	x := k.Vectors(k.tokens)
	for t := range x {
		k.Load(x[t], arm64.At(k.token[t], 0))
	}
	return x
}

// multiply multiplies the weights of a quarter of a panel in one column with those of all tokens.
func (k *kernel) multiply(p, q, column int, w arm64.Vector, x []arm64.Vector) {
	for t := range x {
		k.FMLAElement(k.sum(t, p, q), w, x[t], column)
	}
}
