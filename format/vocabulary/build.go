package vocabulary

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Build lays out the section. The same definition gives the same bytes, in whatever order its
// added tokens come. It refuses what Open would refuse.
func Build(d Definition) ([]byte, error) {
	if err := d.checkIDs(); err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	textSize := 0
	for _, token := range d.Tokens {
		textSize += len(token)
	}
	if len(d.Tokens) > math.MaxInt32 || len(d.Merges) > math.MaxInt32 || textSize > math.MaxUint32 {
		return nil, fmt.Errorf("vocabulary: %d tokens of %d bytes and %d merges are too many",
			len(d.Tokens), textSize, len(d.Merges))
	}
	bytes, err := d.ByteTokens()
	if err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}

	l := arrange(uint32(len(d.Tokens)), uint32(len(d.Merges)), uint32(len(d.Added)), uint32(textSize))
	w := writer{section: make([]byte, l.size), width: l.width}
	w.header(d, l, textSize)
	for b, id := range bytes {
		w.put(l.bytes, b, id)
	}
	w.tokens(d.Tokens, l)
	w.merges(d.Merges, len(d.Tokens), l)
	w.added(d, l)

	if _, err := Open(w.section); err != nil {
		return nil, fmt.Errorf("build %w", err)
	}
	return w.section, nil
}

// checkIDs makes the ids safe to index with; Open checks what they mean.
func (d Definition) checkIDs() error {
	known := func(id int32) bool { return id >= 0 && int(id) < len(d.Tokens) }
	for rank, m := range d.Merges {
		if !known(m.Left) || !known(m.Right) || !known(m.Result) {
			return fmt.Errorf("merge %d: an id of %d + %d = %d is not below %d",
				rank, m.Left, m.Right, m.Result, len(d.Tokens))
		}
	}
	for _, added := range d.Added {
		if !known(added.ID) {
			return fmt.Errorf("added token %d is not below %d", added.ID, len(d.Tokens))
		}
	}
	if d.EOS >= 0 && !known(d.EOS) {
		return fmt.Errorf("end of text %d is not below %d", d.EOS, len(d.Tokens))
	}
	return nil
}

// ByteTokens finds the token every byte starts as, or fails naming a byte that has none. Where
// several tokens spell a byte, those that are not added come first, then the lowest id.
func (d Definition) ByteTokens() (ids [byteTokens]int32, err error) {
	added := make(map[int32]bool, len(d.Added))
	for _, a := range d.Added {
		added[a.ID] = true
	}
	for b := range ids {
		ids[b] = None
	}
	for _, wanted := range []bool{false, true} {
		for id, token := range d.Tokens {
			if len(token) == 1 && ids[token[0]] == None && added[int32(id)] == wanted {
				ids[token[0]] = int32(id)
			}
		}
	}
	for b, id := range ids {
		if id == None {
			return ids, fmt.Errorf("no token for byte 0x%02x", b)
		}
	}
	return ids, nil
}

// writer puts numbers into a section.
type writer struct {
	section []byte
	width   int64
}

func (w writer) put32(offset int64, value uint32) {
	binary.LittleEndian.PutUint32(w.section[offset:], value)
}

// put writes element i of a part whose elements have the section's width.
func (w writer) put(part span, i int, value int32) {
	offset := part.start + int64(i)*w.width
	if w.width == 2 {
		binary.LittleEndian.PutUint16(w.section[offset:], uint16(value))
		return
	}
	w.put32(offset, uint32(value))
}

func (w writer) header(d Definition, l layout, textSize int) {
	end := uint32(noToken)
	if d.EOS >= 0 {
		end = uint32(d.EOS)
	}
	w.put32(atVersion, layoutVersion)
	w.put32(atWidth, uint32(l.width))
	w.put32(atTokens, uint32(len(d.Tokens)))
	w.put32(atMerges, uint32(len(d.Merges)))
	w.put32(atAdded, uint32(len(d.Added)))
	w.put32(atEOS, end)
	w.put32(atTextSize, uint32(textSize))
}

func (w writer) tokens(tokens []string, l layout) {
	end := 0
	for id, token := range tokens {
		end += copy(w.section[l.text.start+int64(end):], token)
		w.put32(l.tokenEnds.start+4*int64(id), uint32(end))
	}
}

// merges sorts by left, then right, and ends each left token's group.
func (w writer) merges(merges []Merge, tokens int, l layout) {
	order := make([]int32, len(merges))
	for rank := range order {
		order[rank] = int32(rank)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(merges[a].Left, merges[b].Left), cmp.Compare(merges[a].Right, merges[b].Right))
	})
	left := 0
	for slot, rank := range order {
		m := merges[rank]
		for ; left < int(m.Left); left++ {
			w.put(l.mergeEnds, left, int32(slot))
		}
		w.put(l.rights, slot, m.Right)
		w.put(l.ranks, slot, rank)
		w.put(l.results, slot, m.Result)
	}
	for ; left < tokens; left++ {
		w.put(l.mergeEnds, left, int32(len(merges)))
	}
}

// added sorts by the tokens' bytes, so that the longest match is found by narrowing.
func (w writer) added(d Definition, l layout) {
	sorted := slices.SortedFunc(slices.Values(d.Added), func(a, b Added) int {
		return cmp.Compare(d.Tokens[a.ID], d.Tokens[b.ID])
	})
	for i, added := range sorted {
		offset := l.added.start + addedSize*int64(i)
		w.put32(offset, uint32(added.ID))
		if added.Control {
			w.put32(offset+4, controlFlag)
		}
	}
}
