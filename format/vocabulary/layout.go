package vocabulary

const (
	layoutVersion = 1
	headerSize    = 32
	addedSize     = 8
	byteTokens    = 256
	noToken       = 0xFFFFFFFF // EOS of a section that has none
	controlFlag   = 1

	maxNarrowTokens = 1 << 16   // ids 0..65535 fit 16 bits
	maxNarrowMerges = 1<<16 - 1 // so do counts up to this
)

// Offsets of the header's fields, each a uint32.
const (
	atVersion  = 0
	atWidth    = 4
	atTokens   = 8
	atMerges   = 12
	atAdded    = 16
	atEOS      = 20
	atTextSize = 24
	atReserved = 28
)

// span is a part of the section, in bytes from its start.
type span struct{ start, length int64 }

func (s span) end() int64 { return s.start + s.length }

// layout is where every part of a section lies. It follows from the header's counts alone.
type layout struct {
	width int64 // bytes of an id, a rank or a count of merges: 2 or 4

	bytes, tokenEnds, text, mergeEnds, rights, ranks, results, added span

	size int64 // of the whole section
}

// parts lists the spans in file order.
func (l *layout) parts() []*span {
	return []*span{&l.bytes, &l.tokenEnds, &l.text, &l.mergeEnds, &l.rights, &l.ranks, &l.results, &l.added}
}

// arrange computes the layout. Counts of 32 bits cannot overflow it.
func arrange(tokens, merges, added, textSize uint32) layout {
	l := layout{width: 4}
	if tokens <= maxNarrowTokens && merges <= maxNarrowMerges {
		l.width = 2
	}
	l.bytes.length = byteTokens * l.width
	l.tokenEnds.length = int64(tokens) * 4
	l.text.length = int64(textSize)
	l.mergeEnds.length = int64(tokens) * l.width
	l.rights.length = int64(merges) * l.width
	l.ranks.length = int64(merges) * l.width
	l.results.length = int64(merges) * l.width
	l.added.length = int64(added) * addedSize

	offset := int64(headerSize)
	for _, part := range l.parts() {
		part.start = offset
		offset = (part.end() + 7) &^ 7
	}
	l.size = offset
	return l
}
