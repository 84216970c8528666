package vocabulary

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Build lays out the section, in the lowest version that can say what the definition says. The same definition gives
// the same bytes. It refuses what Open or Check would refuse.
//
// An added token without content is found by the bytes it decodes to, one without a pattern by its content.
func Build(d Definition) ([]byte, error) {
	section, err := d.build()
	if err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	v, err := Open(section)
	if err == nil {
		err = v.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("build %w", err)
	}
	return section, nil
}

func (d Definition) build() ([]byte, error) {
	if err := d.checkIDs(); err != nil {
		return nil, err
	}
	d.Added = d.completeAdded()
	if err := d.checkAdded(); err != nil {
		return nil, err
	}
	bytes, err := d.ByteTokens()
	if err != nil {
		return nil, err
	}
	b := builder{Definition: d, version: version2}
	if d.Classic() {
		b.version = version1
	}
	if b.version == version2 {
		d.Cut = d.findCut(bytes[:])
		b.Settings = d.Settings
		if err := b.Validate(len(d.Tokens)); err != nil {
			return nil, fmt.Errorf("settings: %w", err)
		}
		if b.settings, err = b.encode(); err != nil {
			return nil, err
		}
	}
	if err := b.arrange(); err != nil {
		return nil, err
	}
	b.putHeader()
	for i, id := range bytes {
		b.put(b.bytes, i, id)
	}
	b.putTokens()
	b.putMerges()
	b.putIndex()
	b.putAdded()
	copy(b.section[b.layout.settings.start:], b.settings)
	return b.section, nil
}

// checkIDs makes the ids safe to index with; Check looks at what they mean.
func (d Definition) checkIDs() error {
	if len(d.Tokens) > math.MaxInt32 || len(d.Merges) > math.MaxInt32 {
		return fmt.Errorf("%d tokens and %d merges are too many", len(d.Tokens), len(d.Merges))
	}
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
	for _, id := range d.End {
		if !known(id) {
			return fmt.Errorf("end of text %d is not below %d", id, len(d.Tokens))
		}
	}
	return nil
}

func (d Definition) checkAdded() error {
	for _, a := range d.Added {
		for _, text := range []string{a.Content, a.Pattern} {
			if len(text) == 0 || len(text) > MaxAddedLength {
				return fmt.Errorf("added token %d is %d bytes long, want 1 to %d", a.ID, len(text), MaxAddedLength)
			}
		}
	}
	return nil
}

// completeAdded returns the added tokens with contents and patterns, in the order of the section.
func (d Definition) completeAdded() []Added {
	added := slices.Clone(d.Added)
	for i := range added {
		a := &added[i]
		a.Content = cmp.Or(a.Content, d.Tokens[a.ID])
		a.Pattern = cmp.Or(a.Pattern, a.Content)
	}
	slices.SortStableFunc(added, func(a, b Added) int {
		if a.Normalized != b.Normalized {
			if a.Normalized {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.Pattern, b.Pattern)
	})
	return added
}

// Classic reports whether the tokenizer does no more than GPT-2's: then version 1 of the section can say it.
func (d Definition) Classic() bool {
	end := None
	if len(d.End) > 0 {
		end = d.End[0]
	}
	if !reflect.DeepEqual(d.Settings, Classic(end)) {
		return false
	}
	for _, a := range d.completeAdded() {
		plain := Added{ID: a.ID, Content: d.Tokens[a.ID], Pattern: d.Tokens[a.ID], Control: a.Control, Word: a.Word}
		if a != plain {
			return false
		}
	}
	return true
}

// ByteTokens finds the token every byte starts as, or None where characters do not fall back to it. It fails naming a
// byte that must have a token and has none. Where several tokens spell a byte, those that are not added come first, then the
// lowest id.
func (d Definition) ByteTokens() (ids [byteTokens]int32, err error) {
	for b := range ids {
		ids[b] = None
	}
	if d.Unit == Characters && !d.ByteFallback {
		return ids, nil
	}
	added := make(map[int32]bool, len(d.Added))
	for _, a := range d.Added {
		added[a.ID] = !a.Word || d.Unit == Bytes
	}
	spelled := func(token string) (byte, bool) {
		if d.Unit == Characters {
			return SpelledByte(token)
		}
		if len(token) == 1 {
			return token[0], true
		}
		return 0, false
	}
	for _, wanted := range []bool{false, true} {
		for id, token := range d.Tokens {
			if b, ok := spelled(token); ok && ids[b] == None && added[int32(id)] == wanted && (!wanted || d.Unit == Bytes) {
				ids[b] = int32(id)
			}
		}
	}
	for b, id := range ids {
		if id == None && d.Unit == Bytes {
			return ids, fmt.Errorf("no token for byte 0x%02x", b)
		}
	}
	return ids, nil
}

// indexed reports whether words or characters are looked up as tokens.
func (s *Settings) indexed() bool { return s.Unit == Characters || s.IgnoreMerges }

// builder puts a definition into a section.
type builder struct {
	Definition
	layout
	version   uint32
	counts    counts
	settings  []byte
	addedText []byte
	addedEnds []uint32 // of content and pattern of each added token, in addedText
	section   []byte
}

// arrange makes the section, empty.
func (b *builder) arrange() error {
	text := 0
	for _, token := range b.Tokens {
		text += len(token)
	}
	if b.version == version2 {
		for _, a := range b.Added {
			b.addedText = append(b.addedText, a.Content...)
			b.addedEnds = append(b.addedEnds, uint32(len(b.addedText)))
			if a.Pattern != a.Content {
				b.addedText = append(b.addedText, a.Pattern...)
			}
			b.addedEnds = append(b.addedEnds, uint32(len(b.addedText)))
		}
	}
	if text > math.MaxUint32 || len(b.addedText) > math.MaxUint32 {
		return errors.New("tokens of more than 4 GiB")
	}
	b.counts = counts{
		version: b.version, tokens: uint32(len(b.Tokens)), merges: uint32(len(b.Merges)), added: uint32(len(b.Added)), text: uint32(text),
		addedText: uint32(len(b.addedText)), settings: uint32(len(b.settings)),
	}
	if b.indexed() {
		b.counts.index = indexSize(b.counts.tokens)
	}
	b.layout = arrange(b.counts)
	b.section = make([]byte, b.layout.size)
	return nil
}

// indexSize returns the number of places of an index of so many tokens: a power of two, at least half of them empty.
func indexSize(tokens uint32) uint32 {
	size := uint32(1)
	for uint64(size) < 2*uint64(tokens) && size < 1<<31 {
		size *= 2
	}
	return size
}

func (b *builder) put32(offset int64, value uint32) {
	binary.LittleEndian.PutUint32(b.section[offset:], value)
}

// put writes element i of a part whose elements have the section's width.
func (b *builder) put(part span, i int, value int32) {
	offset := part.start + int64(i)*b.width
	if b.width == 2 {
		binary.LittleEndian.PutUint16(b.section[offset:], uint16(value))
		return
	}
	b.put32(offset, uint32(value))
}

func (b *builder) putHeader() {
	b.put32(atVersion, b.version)
	b.put32(atWidth, uint32(b.width))
	b.put32(atTokens, b.counts.tokens)
	b.put32(atMerges, b.counts.merges)
	b.put32(atAdded, b.counts.added)
	b.put32(atTextSize, b.counts.text)
	if b.version == version1 {
		b.put32(atEOS, noToken)
		if len(b.End) > 0 {
			b.put32(atEOS, uint32(b.End[0]))
		}
		return
	}
	b.put32(atIndex, b.counts.index)
	b.put32(atAddedText, b.counts.addedText)
	b.put32(atSettings, b.counts.settings)
}

func (b *builder) putTokens() {
	end := 0
	for id, token := range b.Tokens {
		end += copy(b.section[b.text.start+int64(end):], token)
		b.put32(b.tokenEnds.start+4*int64(id), uint32(end))
	}
}

// putMerges sorts by left, then right, and ends each left token's group.
func (b *builder) putMerges() {
	order := make([]int32, len(b.Merges))
	for rank := range order {
		order[rank] = int32(rank)
	}
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(b.Merges[x].Left, b.Merges[y].Left), cmp.Compare(b.Merges[x].Right, b.Merges[y].Right))
	})
	left := 0
	for slot, rank := range order {
		m := b.Merges[rank]
		for ; left < int(m.Left); left++ {
			b.put(b.mergeEnds, left, int32(slot))
		}
		b.put(b.rights, slot, m.Right)
		b.put(b.ranks, slot, rank)
		b.put(b.results, slot, m.Result)
	}
	for ; left < len(b.Tokens); left++ {
		b.put(b.mergeEnds, left, int32(len(b.Merges)))
	}
}

// putIndex enters every token that a word can be, in the order of ids.
func (b *builder) putIndex() {
	size := int64(b.counts.index)
	if size == 0 {
		return
	}
	for place := range size {
		b.put32(b.index.start+indexEntrySize*place, noToken)
	}
	outside := outsideWords(b.Added, len(b.Tokens))
	for id, token := range b.Tokens {
		if token == "" || outside.has(int32(id)) {
			continue
		}
		place := int64(xxhash.Sum64String(token) & uint64(size-1))
		for binary.LittleEndian.Uint32(b.section[b.index.start+indexEntrySize*place:]) != noToken {
			place = (place + 1) & (size - 1)
		}
		b.put32(b.index.start+indexEntrySize*place, uint32(id))
	}
}

func (b *builder) putAdded() {
	for i, a := range b.Added {
		offset := b.added.start + b.addedSize*int64(i)
		b.put32(offset, uint32(a.ID))
		if b.version == version1 {
			if a.Control {
				b.put32(offset+4, controlFlag)
			}
			continue
		}
		b.put32(offset+4, a.flags())
		b.put32(offset+8, b.addedEnds[2*i])
		b.put32(offset+12, b.addedEnds[2*i+1])
	}
	copy(b.section[b.layout.addedText.start:], b.addedText)
}

// flags returns the flags of an added token, in the order of their bits.
func (a Added) flags() (flags uint32) {
	for i, set := range []bool{a.Control, a.Normalized, a.SingleWord, a.LeftStrip, a.RightStrip, a.Word} {
		if set {
			flags |= 1 << i
		}
	}
	return flags
}

// setFlags is the inverse of flags.
func (a *Added) setFlags(flags uint32) {
	for i, field := range []*bool{&a.Control, &a.Normalized, &a.SingleWord, &a.LeftStrip, &a.RightStrip, &a.Word} {
		*field = flags>>i&1 != 0
	}
}
