package vocabulary

import (
	"encoding/binary"
	"unicode/utf8"
)

// readAdded1 reads the added tokens of version 1, which are found by the bytes they decode to.
func (v *View) readAdded1(table []byte) ([]Added, error) {
	added := make([]Added, len(table)/addedSize1)
	previous := ""
	for i := range added {
		entry := table[addedSize1*i:]
		id, flags := int32(binary.LittleEndian.Uint32(entry)), binary.LittleEndian.Uint32(entry[4:])
		if !v.known(id) || flags&^controlFlag != 0 {
			return nil, corrupt("added token %d of %d has flags %#x", uint32(id), v.tokens, flags)
		}
		start, end := uint32(0), binary.LittleEndian.Uint32(v.tokenEnds[4*int(id):])
		if id > 0 {
			start = binary.LittleEndian.Uint32(v.tokenEnds[4*int(id)-4:])
		}
		if start >= end || uint64(end) > uint64(len(v.text)) || end-start > MaxAddedLength {
			return nil, corrupt("added token %d lies at %d to %d of %d", id, start, end, len(v.text))
		}
		content := string(v.text[start:end])
		if previous >= content {
			return nil, corrupt("added token %d is out of order", id)
		}
		added[i] = Added{ID: id, Content: content, Pattern: content, Control: flags&controlFlag != 0}
		previous = content
	}
	return added, nil
}

// readAdded2 reads the added tokens of version 2, whose contents and patterns follow each other in text.
func (v *View) readAdded2(table []byte, text string) ([]Added, error) {
	added := make([]Added, len(table)/addedSize2)
	start := uint32(0)
	for i := range added {
		entry := table[addedSize2*i:]
		id, flags := int32(binary.LittleEndian.Uint32(entry)), binary.LittleEndian.Uint32(entry[4:])
		middle, end := binary.LittleEndian.Uint32(entry[8:]), binary.LittleEndian.Uint32(entry[12:])
		if !v.known(id) || flags&^knownFlags != 0 {
			return nil, corrupt("added token %d of %d has flags %#x", uint32(id), v.tokens, flags)
		}
		if start >= middle || middle > end || uint64(end) > uint64(len(text)) || middle-start > MaxAddedLength || end-middle > MaxAddedLength {
			return nil, corrupt("added token %d lies at %d to %d to %d of %d", id, start, middle, end, len(text))
		}
		a := &added[i]
		a.ID, a.Content, a.Pattern = id, text[start:middle], text[middle:end]
		if a.setFlags(flags); a.Pattern == "" {
			a.Pattern = a.Content
		}
		if !utf8.ValidString(a.Content) || !utf8.ValidString(a.Pattern) {
			return nil, corrupt("added token %d is not UTF-8", id)
		}
		if i > 0 {
			if before := added[i-1]; before.Normalized && !a.Normalized || before.Normalized == a.Normalized && before.Pattern > a.Pattern {
				return nil, corrupt("added token %d is out of order", id)
			}
		}
		start = end
	}
	if uint64(start) != uint64(len(text)) {
		return nil, corrupt("added tokens end at %d of %d", start, len(text))
	}
	return added, nil
}
