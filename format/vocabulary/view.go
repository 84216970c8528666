package vocabulary

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format"
)

// View answers look-ups in a checked section. It holds slices of the section and nothing else: the
// section must stay mapped for as long as the view is used. It is safe for concurrent use.
//
// A look-up never reads outside of the section, whatever has become of it: where it meets what Open would have refused it
// panics with format.Changed. So a mapped section is to be read under format.GuardFault.
//
// What Open guarantees of every View: each byte has a token that is just that byte; each merge's
// result is as long as its two parts together, which is at most MaxMergedLength, and holds their bytes;
// ranks are distinct; added tokens are distinct, 1 to MaxAddedLength bytes long and in ascending order of their bytes. So
// merging shortens a sequence with every step and never changes the bytes it stands for.
type View struct {
	width  int
	tokens int32
	merges int32
	end    int32

	bytes, tokenEnds, text, mergeEnds, rights, ranks, results, added []byte

	tables []byte // everything between header and added tokens
}

// Open checks a section and returns its view. It reads every table once and allocates no more than
// one bit per merge. Errors wrap format.ErrTruncated, format.ErrUnsupported or format.ErrCorrupt.
func Open(section []byte) (*View, error) {
	v, err := view(section)
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	return v, nil
}

func corrupt(text string, arguments ...any) error {
	return fmt.Errorf("%w: %s", format.ErrCorrupt, fmt.Sprintf(text, arguments...))
}

// What a look-up panics with where it meets what Open would have refused.
const (
	changedToken  format.Changed = "an id that no token has"
	changedEnds   format.Changed = "a token outside of the text"
	changedMerges format.Changed = "merges outside of their table"
	changedRank   format.Changed = "a rank that no merge has"
)

// view cuts the section into its parts, which is all that the header decides.
func view(section []byte) (*View, error) {
	if len(section) < headerSize {
		return nil, fmt.Errorf("%w: %d bytes", format.ErrTruncated, len(section))
	}
	field := func(offset int) uint32 { return binary.LittleEndian.Uint32(section[offset:]) }
	if version := field(atVersion); version != layoutVersion {
		return nil, fmt.Errorf("%w: tokenizer layout %d", format.ErrUnsupported, version)
	}
	tokens, merges, added := field(atTokens), field(atMerges), field(atAdded)
	if tokens > math.MaxInt32 || merges > math.MaxInt32 {
		return nil, corrupt("%d tokens and %d merges", tokens, merges)
	}
	l := arrange(tokens, merges, added, field(atTextSize))
	switch size := int64(len(section)); {
	case size < l.size:
		return nil, fmt.Errorf("%w: %d bytes, want %d", format.ErrTruncated, size, l.size)
	case size > l.size:
		return nil, corrupt("%d bytes, want %d", size, l.size)
	case int64(field(atWidth)) != l.width:
		return nil, corrupt("ids of %d bytes, want %d", field(atWidth), l.width)
	case field(atReserved) != 0:
		return nil, corrupt("reserved bytes are not zero")
	}
	end := None
	if id := field(atEOS); id != noToken {
		if id >= tokens {
			return nil, corrupt("end of text %d of %d tokens", id, tokens)
		}
		end = int32(id)
	}

	parts := l.parts()
	for i, part := range parts {
		gap := section[part.end():l.size]
		if i+1 < len(parts) {
			gap = section[part.end():parts[i+1].start]
		}
		for _, b := range gap {
			if b != 0 {
				return nil, corrupt("padding is not zero")
			}
		}
	}
	cut := func(part span) []byte { return section[part.start:part.end():part.end()] }
	return &View{
		width: int(l.width), tokens: int32(tokens), merges: int32(merges), end: end,
		bytes: cut(l.bytes), tokenEnds: cut(l.tokenEnds), text: cut(l.text), mergeEnds: cut(l.mergeEnds),
		rights: cut(l.rights), ranks: cut(l.ranks), results: cut(l.results), added: cut(l.added),
		tables: section[headerSize:l.added.start],
	}, nil
}

func (v *View) check() error {
	for _, check := range []func() error{v.checkTokens, v.checkBytes, v.checkMerges, v.checkAdded} {
		if err := check(); err != nil {
			return err
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

func (v *View) checkBytes() error {
	for b := range byteTokens {
		id := v.number(v.bytes, b)
		if !v.known(id) {
			return corrupt("byte 0x%02x has token %d of %d", b, uint32(id), v.tokens)
		}
		if token := v.Token(id); len(token) != 1 || int(token[0]) != b {
			return corrupt("byte 0x%02x has token %d, which is %.60q", b, id, token)
		}
	}
	return nil
}

func (v *View) checkMerges() error {
	seen := make([]uint64, (int(v.merges)+63)/64)
	slot := int32(0)
	for left := range v.tokens {
		end := v.number(v.mergeEnds, int(left))
		if end < slot || end > v.merges {
			return corrupt("merges of token %d end at %d of %d", left, uint32(end), v.merges)
		}
		previous := None
		for ; slot < end; slot++ {
			right := v.number(v.rights, int(slot))
			rank, result := v.number(v.ranks, int(slot)), v.number(v.results, int(slot))
			if !v.known(right) || !v.known(result) || right <= previous {
				return corrupt("merge of token %d: right %d after %d, result %d, of %d tokens",
					left, uint32(right), previous, uint32(result), v.tokens)
			}
			previous = right
			if rank < 0 || rank >= v.merges || seen[rank/64]>>(rank%64)&1 != 0 {
				return corrupt("merge of tokens %d and %d: rank %d of %d is out of range or taken",
					left, right, uint32(rank), v.merges)
			}
			seen[rank/64] |= 1 << (rank % 64)
			if length := v.Length(result); length > MaxMergedLength {
				return corrupt("merge of tokens %d and %d: result %d is %d bytes long, at most %d are allowed",
					left, right, result, length, MaxMergedLength)
			}
			if !v.joins(left, right, result) {
				return corrupt("merge of tokens %d and %d: result %d has other bytes", left, right, result)
			}
		}
	}
	if slot != v.merges {
		return corrupt("merges end at %d of %d", slot, v.merges)
	}
	return nil
}

// joins reports whether result is left and right put together, neither of them empty.
func (v *View) joins(left, right, result int32) bool {
	a, b, whole := v.Token(left), v.Token(right), v.Token(result)
	return len(a) > 0 && len(b) > 0 && len(whole) == len(a)+len(b) &&
		bytes.Equal(whole[:len(a)], a) && bytes.Equal(whole[len(a):], b)
}

func (v *View) checkAdded() error {
	var previous []byte
	for i := range v.Added() {
		entry := v.added[addedSize*i:]
		id, flags := int32(binary.LittleEndian.Uint32(entry)), binary.LittleEndian.Uint32(entry[4:])
		if !v.known(id) || flags&^controlFlag != 0 {
			return corrupt("added token %d of %d has flags %#x", uint32(id), v.tokens, flags)
		}
		token := v.Token(id)
		if len(token) == 0 || len(token) > MaxAddedLength || bytes.Compare(previous, token) >= 0 {
			return corrupt("added token %d is %d bytes long or out of order", id, len(token))
		}
		previous = token
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

// Byte returns the token that is just this byte.
func (v *View) Byte(b byte) int32 { return v.token(v.bytes, int(b)) }

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

// Added returns the number of added tokens, which AddedToken lists in ascending order of their
// bytes.
func (v *View) Added() int { return len(v.added) / addedSize }

// AddedToken returns added token i.
func (v *View) AddedToken(i int) Added {
	entry := v.added[addedSize*i:]
	id := int32(binary.LittleEndian.Uint32(entry))
	if !v.known(id) {
		panic(changedToken)
	}
	return Added{ID: id, Control: binary.LittleEndian.Uint32(entry[4:])&controlFlag != 0}
}

// EOS returns the token that ends a text, if there is one.
func (v *View) EOS() (id int32, ok bool) { return v.end, v.end != None }

// Digest is the XXH64 of the tokens and merges, without the list of added tokens and the end of
// text. Models whose digests agree mean the same by every id.
func (v *View) Digest() uint64 { return xxhash.Sum64(v.tables) }

// Definition returns what Build makes the section from. Its added tokens are in ascending order of
// their bytes.
func (v *View) Definition() Definition {
	d := Definition{
		Tokens: make([]string, v.tokens), Merges: make([]Merge, v.merges), Added: make([]Added, v.Added()), EOS: v.end,
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
	for i := range d.Added {
		d.Added[i] = v.AddedToken(i)
	}
	return d
}
