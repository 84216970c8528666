package vocabulary

const (
	version1 = 1
	version2 = 2

	byteTokens = 256
	noToken    = 0xFFFFFFFF // a token that is missing, of 32 bits

	maxNarrow = 1<<16 - 1 // ids and counts up to this fit 16 bits, and leave a number for none
)

// Offsets of the header's fields, each a uint32.
const (
	atVersion  = 0
	atWidth    = 4
	atTokens   = 8
	atMerges   = 12
	atAdded    = 16
	atEOS      = 20 // of version 1
	atTextSize = 24
	atReserved = 28 // of version 1, zero

	// Of version 2.
	atIndex        = 20
	atAddedText    = 28
	atSettings     = 32
	atReserved2    = 36 // three of them, zero
	headerSize1    = 32
	headerSize2    = 48
	addedSize1     = 8
	addedSize2     = 16
	indexEntrySize = 4
)

// Flags of added tokens. Version 1 has the first alone.
const (
	controlFlag = 1 << iota
	normalizedFlag
	singleWordFlag
	leftStripFlag
	rightStripFlag
	wordFlag

	knownFlags = 1<<iota - 1
)

// counts are what the header says, and all that the layout follows from.
type counts struct {
	version                     uint32
	tokens, merges, added, text uint32
	index, addedText, settings  uint32 // of version 2
}

// span is a part of the section, in bytes from its start.
type span struct{ start, length int64 }

func (s span) end() int64 { return s.start + s.length }

// layout is where every part of a section lies.
type layout struct {
	width     int64 // bytes of an id, a rank or a count of merges: 2 or 4
	addedSize int64 // of an entry of added

	bytes, tokenEnds, text, mergeEnds, rights, ranks, results, index, added, addedText, settings span

	size int64 // of the whole section
}

// parts lists the spans in file order.
func (l *layout) parts() []*span {
	return []*span{&l.bytes, &l.tokenEnds, &l.text, &l.mergeEnds, &l.rights, &l.ranks, &l.results, &l.index, &l.added, &l.addedText, &l.settings}
}

// arrange computes the layout. Counts of 32 bits cannot overflow it. Parts that a version lacks are empty.
func arrange(c counts) layout {
	l := layout{width: 4, addedSize: addedSize2}
	offset, narrowTokens := int64(headerSize2), uint32(maxNarrow)
	if c.version == version1 {
		l.addedSize = addedSize1
		offset, narrowTokens = headerSize1, maxNarrow+1
	}
	if c.tokens <= narrowTokens && c.merges <= maxNarrow {
		l.width = 2
	}
	l.bytes.length = byteTokens * l.width
	l.tokenEnds.length = int64(c.tokens) * 4
	l.text.length = int64(c.text)
	l.mergeEnds.length = int64(c.tokens) * l.width
	l.rights.length = int64(c.merges) * l.width
	l.ranks.length = int64(c.merges) * l.width
	l.results.length = int64(c.merges) * l.width
	l.index.length = int64(c.index) * indexEntrySize
	l.added.length = int64(c.added) * l.addedSize
	l.addedText.length = int64(c.addedText)
	l.settings.length = int64(c.settings)

	for _, part := range l.parts() {
		part.start = offset
		offset = (part.end() + 7) &^ 7
	}
	l.size = offset
	return l
}
