package vocabulary

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format"
)

// View answers look-ups in a section. Its settings and added tokens are copies; everything else is read in place: the
// section must stay mapped for as long as the view is used. It is safe for concurrent use.
//
// A look-up never reads outside of the section, whatever the section holds: where it meets what Check would have refused it
// panics with format.Changed. So a mapped section is to be read under format.GuardFault.
type View struct {
	Settings Settings // not to be changed
	Added    []Added  // in the section's order: those that are not normalized, then the others, each by pattern

	version uint32
	width   int
	tokens  int32
	merges  int32

	bytes, tokenEnds, text, mergeEnds, rights, ranks, results, index []byte
}

// Open checks everything about a section but its tables, and returns its view: what it costs does not grow with
// the vocabulary, only with the added tokens. Errors wrap format.ErrTruncated, format.ErrUnsupported or
// format.ErrCorrupt.
func Open(section []byte) (*View, error) {
	v, err := open(section)
	if err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	return v, nil
}

func corrupt(text string, arguments ...any) error {
	return fmt.Errorf("%w: %s", format.ErrCorrupt, fmt.Sprintf(text, arguments...))
}

// What a look-up panics with where it meets what Check would have refused.
const (
	changedToken  format.Changed = "an id that no token has"
	changedEnds   format.Changed = "a token outside of the text"
	changedMerges format.Changed = "merges outside of their table"
	changedRank   format.Changed = "a rank that no merge has"
)

func open(section []byte) (*View, error) {
	c, end, err := readHeader(section)
	if err != nil {
		return nil, err
	}
	l := arrange(c)
	switch size := int64(len(section)); {
	case size < l.size:
		return nil, fmt.Errorf("%w: %d bytes, want %d", format.ErrTruncated, size, l.size)
	case size > l.size:
		return nil, corrupt("%d bytes, want %d", size, l.size)
	case int64(binary.LittleEndian.Uint32(section[atWidth:])) != l.width:
		return nil, corrupt("ids of %d bytes, want %d", binary.LittleEndian.Uint32(section[atWidth:]), l.width)
	}
	if err := checkPadding(section, &l); err != nil {
		return nil, err
	}
	cut := func(part span) []byte { return section[part.start:part.end():part.end()] }
	v := &View{
		version: c.version, width: int(l.width), tokens: int32(c.tokens), merges: int32(c.merges),
		bytes: cut(l.bytes), tokenEnds: cut(l.tokenEnds), text: cut(l.text), mergeEnds: cut(l.mergeEnds),
		rights: cut(l.rights), ranks: cut(l.ranks), results: cut(l.results), index: cut(l.index),
	}
	if c.version == version1 {
		v.Settings = Classic(end)
		v.Added, err = v.readAdded1(cut(l.added))
		return v, err
	}
	if v.Settings, err = parseSettings(cut(l.settings), int(v.tokens)); err != nil {
		return nil, err
	}
	if want := v.Settings.indexSize(c.tokens); c.index != want {
		return nil, corrupt("an index of %d places, want %d", c.index, want)
	}
	v.Added, err = v.readAdded2(cut(l.added), string(cut(l.addedText)))
	return v, err
}

// indexSize returns the number of places of the index, 0 where nothing is looked up in it.
func (s *Settings) indexSize(tokens uint32) uint32 {
	if !s.indexed() {
		return 0
	}
	return indexSize(tokens)
}

// readHeader returns what the header says, and of version 1 the end of text, too.
func readHeader(section []byte) (c counts, end int32, err error) {
	if len(section) < headerSize1 {
		return c, None, fmt.Errorf("%w: %d bytes", format.ErrTruncated, len(section))
	}
	field := func(offset int) uint32 { return binary.LittleEndian.Uint32(section[offset:]) }
	c = counts{version: field(atVersion), tokens: field(atTokens), merges: field(atMerges), added: field(atAdded), text: field(atTextSize)}
	if c.version != version1 && c.version != version2 {
		return c, None, fmt.Errorf("%w: tokenizer layout %d", format.ErrUnsupported, c.version)
	}
	if c.tokens > math.MaxInt32 || c.merges > math.MaxInt32 {
		return c, None, corrupt("%d tokens and %d merges", c.tokens, c.merges)
	}
	if c.version == version1 {
		id := field(atEOS)
		switch {
		case field(atReserved) != 0:
			return c, None, corrupt("reserved bytes are not zero")
		case id == noToken:
			return c, None, nil
		case id >= c.tokens:
			return c, None, corrupt("end of text %d of %d tokens", id, c.tokens)
		}
		return c, int32(id), nil
	}
	if len(section) < headerSize2 {
		return c, None, fmt.Errorf("%w: %d bytes", format.ErrTruncated, len(section))
	}
	if field(atReserved2)|field(atReserved2+4)|field(atReserved2+8) != 0 {
		return c, None, corrupt("reserved bytes are not zero")
	}
	c.index, c.addedText, c.settings = field(atIndex), field(atAddedText), field(atSettings)
	if c.settings > MaxSettings {
		return c, None, corrupt("settings of %d bytes, at most %d are allowed", c.settings, MaxSettings)
	}
	return c, None, nil
}

// MaxSettings bounds the settings, in bytes. Chat templates are the most of them; the longest in use have 20 KB.
const MaxSettings = 4 << 20

func checkPadding(section []byte, l *layout) error {
	parts := l.parts()
	for i, part := range parts {
		gap := section[part.end():l.size]
		if i+1 < len(parts) {
			gap = section[part.end():parts[i+1].start]
		}
		for _, b := range gap {
			if b != 0 {
				return corrupt("padding is not zero")
			}
		}
	}
	return nil
}

func (v *View) known(id int32) bool { return id >= 0 && id < v.tokens }

// number reads element i of a part whose elements have the section's width.
func (v *View) number(part []byte, i int) int32 {
	if v.width == 2 {
		return int32(binary.LittleEndian.Uint16(part[2*i:]))
	}
	return int32(binary.LittleEndian.Uint32(part[4*i:]))
}

// token reads element i of a part that holds ids.
func (v *View) token(part []byte, i int) int32 {
	id := v.number(part, i)
	if !v.known(id) {
		panic(changedToken)
	}
	return id
}

// Version returns the version of the section.
func (v *View) Version() int { return int(v.version) }

// Tokens returns the size of the vocabulary. Ids are 0 up to, and without, it. The methods below
// panic on other ids.
func (v *View) Tokens() int { return int(v.tokens) }

// Token returns the bytes of a token, in place: they must not be written to.
func (v *View) Token(id int32) []byte {
	start, end := v.bounds(id)
	return v.text[start:end:end]
}

// Length returns the number of bytes of a token.
func (v *View) Length(id int32) int {
	start, end := v.bounds(id)
	return int(end - start)
}

func (v *View) bounds(id int32) (start, end uint32) {
	if id > 0 {
		start = binary.LittleEndian.Uint32(v.tokenEnds[4*int(id)-4:])
	}
	end = binary.LittleEndian.Uint32(v.tokenEnds[4*int(id):])
	if start > end || uint64(end) > uint64(len(v.text)) {
		panic(changedEnds)
	}
	return start, end
}

// Byte returns the token that a byte starts as. Where characters are the units, ok is false for a byte that they do not
// fall back to.
func (v *View) Byte(b byte) (id int32, ok bool) {
	id = v.number(v.bytes, int(b))
	if !v.known(id) {
		if v.Settings.Unit == Bytes {
			panic(changedToken)
		}
		return None, false
	}
	return id, true
}

// Find returns the token that is just this word, as long as the tokenizer looks up words: where its units are characters,
// or it ignores merges. Added tokens that are no words are not found, nor is what lies more than MaxProbes places behind its own.
func (v *View) Find(word []byte) (id int32, ok bool) {
	places := len(v.index) / indexEntrySize
	if places == 0 {
		return None, false
	}
	place := int(xxhash.Sum64(word) & uint64(places-1))
	for range min(places, MaxProbes) {
		id := int32(binary.LittleEndian.Uint32(v.index[indexEntrySize*place:]))
		if id == None {
			return None, false
		}
		if !v.known(id) {
			panic(changedToken)
		}
		if string(v.Token(id)) == string(word) {
			return id, true
		}
		place = (place + 1) & (places - 1)
	}
	return None, false
}

// Merge looks up what left followed by right becomes. Of several possible merges the one of the
// lowest rank comes first.
func (v *View) Merge(left, right int32) (rank, result int32, ok bool) {
	low, end := 0, int(v.number(v.mergeEnds, int(left)))
	if left > 0 {
		low = int(v.number(v.mergeEnds, int(left)-1))
	}
	if low < 0 || low > end || end > int(v.merges) {
		panic(changedMerges)
	}
	for high := end; low < high; {
		middle := int(uint(low+high) >> 1)
		if v.number(v.rights, middle) < right {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == end || v.number(v.rights, low) != right {
		return 0, 0, false
	}
	return v.rank(low), v.token(v.results, low), true
}

// rank reads the rank of a merge.
func (v *View) rank(slot int) int32 {
	rank := v.number(v.ranks, slot)
	if rank < 0 || rank >= v.merges {
		panic(changedRank)
	}
	return rank
}

// Merges returns the number of merges. Ranks are 0 up to, and without, it.
func (v *View) Merges() int { return int(v.merges) }

// Definition returns what Build makes the section from. Its added tokens are in the section's order.
func (v *View) Definition() Definition {
	d := Definition{
		Tokens: make([]string, v.tokens), Merges: make([]Merge, v.merges), Added: v.Added, Settings: v.Settings,
	}
	slot := int32(0)
	for id := range v.tokens {
		d.Tokens[id] = string(v.Token(id))
		for end := v.number(v.mergeEnds, int(id)); slot < end; slot++ {
			if slot >= v.merges {
				panic(changedMerges)
			}
			d.Merges[v.rank(int(slot))] = Merge{Left: id, Right: v.token(v.rights, int(slot)), Result: v.token(v.results, int(slot))}
		}
	}
	return d
}

// Extends reports whether every id of other means the same here: its tokens are the first of these, and the merges are
// the same, in the same order. Tokens without bytes at other's end do not count.
func (v *View) Extends(other *View) bool {
	tokens := other.tokens
	for tokens > 0 && other.Length(tokens-1) == 0 {
		tokens--
	}
	if tokens > v.tokens || v.merges != other.merges || v.Settings.Unit != other.Settings.Unit {
		return false
	}
	slot := 0
	for id := range tokens {
		if string(v.Token(id)) != string(other.Token(id)) || v.number(v.mergeEnds, int(id)) != other.number(other.mergeEnds, int(id)) {
			return false
		}
		for end := int(min(v.number(v.mergeEnds, int(id)), v.merges)); slot < end; slot++ {
			if v.number(v.rights, slot) != other.number(other.rights, slot) || v.rank(slot) != other.rank(slot) {
				return false
			}
		}
	}
	return slot == int(v.merges)
}
