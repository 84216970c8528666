package vocabulary

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Check checks the tables, which Open leaves alone. It reads each of them once and allocates no more than
// two bits per token or one per merge at a time. Errors wrap format.ErrCorrupt.
//
// What it makes sure of: each byte has a token that is just that byte; each merge's
// result is as long as its two parts together, which is at most MaxMergedLength, and holds their bytes;
// ranks are distinct; the index finds every token that is a word. So merging shortens a sequence with every step and
// never changes the bytes it stands for.
func (v *View) Check() error {
	for _, check := range []func() error{v.checkTokens, v.checkBytes, v.checkMerges, v.checkIndex, v.checkCut} {
		if err := check(); err != nil {
			return fmt.Errorf("vocabulary: %w", err)
		}
	}
	return nil
}

func (v *View) checkTokens() error {
	previous := uint32(0)
	for id := range v.tokens {
		end := binary.LittleEndian.Uint32(v.tokenEnds[4*int(id):])
		if end < previous || int64(end) > int64(len(v.text)) {
			return corrupt("token %d ends at %d of %d", id, end, len(v.text))
		}
		previous = end
	}
	if int64(previous) != int64(len(v.text)) {
		return corrupt("tokens end at %d of %d", previous, len(v.text))
	}
	return nil
}

// none is what stands for no token in a part whose elements have the section's width.
func (v *View) none() int32 {
	if v.width == 2 {
		return maxNarrow
	}
	return None
}

func (v *View) checkBytes() error {
	for b := range byteTokens {
		id := v.number(v.bytes, b)
		if v.Settings.Unit == Characters && id == v.none() {
			continue
		}
		if !v.known(id) {
			return corrupt("byte 0x%02x has token %d of %d", b, uint32(id), v.tokens)
		}
		token := v.Token(id)
		if v.Settings.Unit == Characters {
			spelled, ok := SpelledByte(string(token))
			if !ok || int(spelled) != b || !v.Settings.ByteFallback {
				return corrupt("byte 0x%02x has token %d, which is %.60q", b, id, token)
			}
		} else if len(token) != 1 || int(token[0]) != b {
			return corrupt("byte 0x%02x has token %d, which is %.60q", b, id, token)
		}
	}
	return nil
}

func (v *View) checkMerges() error {
	seen := newSet(v.merges)
	slot := int32(0)
	for left := range v.tokens {
		end := v.number(v.mergeEnds, int(left))
		if end < slot || end > v.merges {
			return corrupt("merges of token %d end at %d of %d", left, uint32(end), v.merges)
		}
		previous, first := None, v.Token(left)
		for ; slot < end; slot++ {
			right := v.number(v.rights, int(slot))
			rank, result := v.number(v.ranks, int(slot)), v.number(v.results, int(slot))
			if !v.known(right) || !v.known(result) || right <= previous {
				return corrupt("merge of token %d: right %d after %d, result %d, of %d tokens",
					left, uint32(right), previous, uint32(result), v.tokens)
			}
			previous = right
			if rank < 0 || rank >= v.merges || seen.has(rank) {
				return corrupt("merge of tokens %d and %d: rank %d of %d is out of range or taken",
					left, right, uint32(rank), v.merges)
			}
			seen.add(rank)
			second, whole := v.Token(right), v.Token(result)
			if len(whole) > MaxMergedLength {
				return corrupt("merge of tokens %d and %d: result %d is %d bytes long, at most %d are allowed",
					left, right, result, len(whole), MaxMergedLength)
			}
			if !joins(first, second, whole) {
				return corrupt("merge of tokens %d and %d: result %d has other bytes", left, right, result)
			}
		}
	}
	if slot != v.merges {
		return corrupt("merges end at %d of %d", slot, v.merges)
	}
	return nil
}

// joins reports whether whole is a and b put together, neither of them empty.
func joins(a, b, whole []byte) bool {
	return len(a) > 0 && len(b) > 0 && len(whole) == len(a)+len(b) &&
		bytes.Equal(whole[:len(a)], a) && bytes.Equal(whole[len(a):], b)
}

// checkIndex makes sure that the index has every word once and nothing else, and that each is found.
func (v *View) checkIndex() error {
	if len(v.index) == 0 {
		return nil
	}
	words := newSet(v.tokens)
	outside, count := outsideWords(v.Added, int(v.tokens)), 0
	for id := range v.tokens {
		if v.Length(id) > 0 && !outside.has(id) {
			words.add(id)
			count++
		}
	}
	missing := words.clone()
	for place := range len(v.index) / indexEntrySize {
		id := int32(binary.LittleEndian.Uint32(v.index[indexEntrySize*place:]))
		if id == None {
			continue
		}
		if !v.known(id) || !missing.has(id) {
			return corrupt("the index has token %d of %d, which is no word or is there twice", uint32(id), v.tokens)
		}
		missing.remove(id)
		count--
	}
	if count != 0 {
		return corrupt("the index lacks %d tokens", count)
	}
	for id := range v.tokens {
		if !words.has(id) {
			continue
		}
		if found, ok := v.Find(v.Token(id)); !ok || found > id {
			return corrupt("the index does not find token %d", id)
		}
	}
	return nil
}
