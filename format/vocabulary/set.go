package vocabulary

import "slices"

// set is a set of ids or ranks.
type set []uint64

// newSet returns an empty set of numbers below size.
func newSet(size int32) set { return make(set, (int(size)+63)/64) }

func (s set) has(i int32) bool { return s[i/64]>>(i%64)&1 != 0 }
func (s set) add(i int32)      { s[i/64] |= 1 << (i % 64) }
func (s set) remove(i int32)   { s[i/64] &^= 1 << (i % 64) }
func (s set) clone() set       { return slices.Clone(s) }

// outsideWords returns the added tokens that are no words: those that neither merging nor a look-up of a word leads to.
func outsideWords(added []Added, tokens int) set {
	outside := newSet(int32(tokens))
	for _, a := range added {
		if outside.add(a.ID); a.Word {
			outside.remove(a.ID)
		}
	}
	return outside
}
