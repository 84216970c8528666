// Package unicode16 tells the characters apart that the patterns of tokenizers tell apart, by Unicode 16.0 whatever the Go
// release at hand knows: a text has the same ids on every machine and after every update.
package unicode16

import "unicode/utf8"

// Mask is a set of properties of a character, or of properties asked for.
type Mask uint32

// One bit for each general category of Unicode 16.0. Surrogates and unassigned code points have none.
const (
	Lu Mask = 1 << iota
	Ll
	Lt
	Lm
	Lo
	Mn
	Mc
	Me
	Nd
	Nl
	No
	Pc
	Pd
	Ps
	Pe
	Pi
	Pf
	Po
	Sm
	Sc
	Sk
	So
	Zs
	Zl
	Zp
	Cc
	Cf
	Co

	Space     // White_Space: \s
	Word      // \w as Unicode's regular expressions have it: letters, marks, decimal digits, connectors, joiners and what else is Alphabetic
	Numeric   // \p{N} of Unicode 17.0, by which HuggingFace's Digits pre-tokenizer splits
	Assigned9 // assigned in Unicode 9.0, whose normalization HuggingFace's tokenizers know: newer characters stay as they are
)

// The general categories by their first letters.
const (
	L = Lu | Ll | Lt | Lm | Lo
	M = Mn | Mc | Me
	N = Nd | Nl | No
	P = Pc | Pd | Ps | Pe | Pi | Pf | Po
	S = Sm | Sc | Sk | So
	Z = Zs | Zl | Zp
)

// Of returns the properties of r: none if r is no code point.
//
//	unicode16.Of(r)&(unicode16.L|unicode16.M) != 0 // r is a letter or a mark
func Of(r rune) Mask {
	if uint32(r) > utf8.MaxRune {
		return 0
	}
	return masks[kinds[blocks[r>>blockBits]][r&(1<<blockBits-1)]]
}
