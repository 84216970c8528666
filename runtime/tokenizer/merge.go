package tokenizer

import (
	"math"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/vocabulary"
)

// merger turns words into tokens. A word starts as one token for each of its units, bytes or characters. Then, as long as
// any two neighbours merge, of all merges that apply the one of the lowest rank is made, and of several of that rank the
// leftmost: R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), in the order in which
// HuggingFace's tokenizers do it.
//
// Every merge shortens the word, so this ends for any table; the result is the same both ways below.
type merger struct {
	vocabulary *vocabulary.View
	settings   *vocabulary.Settings
	ascii      *[utf8.RuneSelf]int32 // the tokens of characters, None where there is none
	parts      []part                // of the word at hand
	queue      queue
}

// scanLimit is the longest word, in tokens before merging, whose merges are found by scanning it over and over. The
// work grows with the square of the length, but in the first-level cache.
const scanLimit = 64

// part is a token of a word and the merge with the token after it.
type part struct{ id, rank, result int32 }

const (
	noMerge int32 = math.MaxInt32
	notYet  int32 = -1 // the merge has not been looked up
)

// append adds the tokens of a word that is not empty.
func (m *merger) append(ids []int32, word string) []int32 {
	if m.settings.IgnoreMerges {
		if id, ok := m.vocabulary.Find([]byte(word)); ok {
			return append(ids, id)
		}
	}
	m.parts = m.parts[:0]
	if m.settings.Unit == vocabulary.Bytes {
		m.spellBytes(word)
	} else {
		m.spellCharacters(word)
	}
	if len(m.parts) <= scanLimit {
		m.scan()
	} else {
		m.drain()
	}
	for _, p := range m.parts {
		ids = append(ids, p.id)
	}
	return ids
}

func (m *merger) spellBytes(word string) {
	for i := range len(word) {
		id, _ := m.vocabulary.Byte(word[i])
		m.add(id)
	}
}

func (m *merger) add(id int32) { m.parts = append(m.parts, part{id: id, rank: notYet}) }

// spellCharacters makes tokens of characters. One without a token becomes those of its bytes, or the unknown token. That
// comes only before the next character that has a token or is unknown too, after any bytes in between, as in HuggingFace's
// tokenizers.
func (m *merger) spellCharacters(word string) {
	pending := false // an unknown token
	for word != "" {
		_, n := utf8.DecodeRuneInString(word)
		character := word[:n]
		word = word[n:]
		if id := m.character(character); id != vocabulary.None {
			m.addUnknown(pending)
			pending = false
			m.add(id)
			continue
		}
		if m.settings.ByteFallback && m.fallBack(character) || m.settings.Unknown == nil {
			continue
		}
		m.addUnknown(pending && !m.settings.FuseUnknown)
		pending = true
	}
	m.addUnknown(pending)
}

func (m *merger) addUnknown(pending bool) {
	if pending {
		m.add(*m.settings.Unknown)
	}
}

// character returns the token of a character, or None.
func (m *merger) character(character string) int32 {
	if c := character[0]; c < utf8.RuneSelf {
		return m.ascii[c]
	}
	if id, ok := m.vocabulary.Find([]byte(character)); ok {
		return id
	}
	return vocabulary.None
}

// fallBack adds the tokens of a character's bytes, if each has one.
func (m *merger) fallBack(character string) bool {
	for i := range len(character) {
		if _, ok := m.vocabulary.Byte(character[i]); !ok {
			return false
		}
	}
	m.spellBytes(character)
	return true
}

// lookUp returns the merge of a token with the one after it, of rank noMerge if there is none.
func (m *merger) lookUp(left, right int32) (rank, result int32) {
	rank, result, ok := m.vocabulary.Merge(left, right)
	if !ok {
		return noMerge, 0
	}
	return rank, result
}

// scan merges a short word.
func (m *merger) scan() {
	parts := m.parts
	for i := range parts {
		if i+1 < len(parts) {
			parts[i].rank, parts[i].result = m.lookUp(parts[i].id, parts[i+1].id)
		} else {
			parts[i].rank = noMerge
		}
	}
	for {
		lowest := 0
		for i := range parts {
			if parts[i].rank < parts[lowest].rank {
				lowest = i
			}
		}
		if len(parts) == 0 || parts[lowest].rank == noMerge {
			break
		}
		at := lowest
		parts[at].id = parts[at].result
		copy(parts[at+1:], parts[at+2:])
		parts = parts[:len(parts)-1]
		if at > 0 {
			parts[at-1].rank, parts[at-1].result = m.lookUp(parts[at-1].id, parts[at].id)
		}
		parts[at].rank = noMerge
		if at+1 < len(parts) {
			parts[at].rank, parts[at].result = m.lookUp(parts[at].id, parts[at+1].id)
		}
	}
	m.parts = parts
}

// drain merges a long word in O(n log n): every merge that may be made waits in a queue. The parts stay in their places;
// one that has become the right half of a merge is gone.
func (m *merger) drain() {
	parts := m.parts
	if cap(m.queue.next) < len(parts) {
		m.queue.next, m.queue.previous = make([]int32, len(parts)), make([]int32, len(parts))
	}
	next, previous := m.queue.next[:len(parts)], m.queue.previous[:len(parts)]
	m.queue.waiting = m.queue.waiting[:0]
	for i := range parts {
		next[i], previous[i] = int32(i+1), int32(i-1)
		parts[i].rank = noMerge
		if i+1 < len(parts) {
			parts[i].rank, parts[i].result = m.lookUp(parts[i].id, parts[i+1].id)
			if parts[i].rank != noMerge {
				m.queue.waiting = append(m.queue.waiting, entry(parts[i].rank, i))
			}
		}
	}
	m.queue.order()
	for len(m.queue.waiting) > 0 {
		first := m.queue.pop()
		at := int(uint32(first))
		if parts[at].rank != int32(first>>32) {
			continue // one of the halves has been merged otherwise
		}
		right := int(next[at])
		parts[at].id = parts[at].result
		parts[right].rank, parts[right].id = noMerge, gone
		next[at] = next[right]
		if after := int(next[at]); after < len(parts) {
			previous[after] = int32(at)
		}
		if before := int(previous[at]); before >= 0 {
			m.renew(before, at)
		}
		m.renew(at, int(next[at]))
	}
	kept := parts[:0]
	for _, p := range parts {
		if p.id != gone {
			kept = append(kept, p)
		}
	}
	m.parts = kept
}

// gone is the id of a part that is none any more.
const gone int32 = -2

// renew looks up the merge of a part with the one after it, which may be none.
func (m *merger) renew(at, after int) {
	p := &m.parts[at]
	if p.rank = noMerge; after >= len(m.parts) {
		return
	}
	if p.rank, p.result = m.lookUp(p.id, m.parts[after].id); p.rank != noMerge {
		m.queue.push(entry(p.rank, at))
	}
}

// queue is a heap of merges, the lowest rank first and of equal ones the leftmost, and the neighbours of each part.
type queue struct {
	waiting        []uint64
	next, previous []int32
}

// entry puts a rank before a place.
func entry(rank int32, at int) uint64 { return uint64(rank)<<32 | uint64(uint32(at)) }

// heapArity is the number of children of a node. Four make a flatter heap than two, and share a cache line.
const heapArity = 4

func (q *queue) order() {
	for i := (len(q.waiting) - 1) / heapArity; i >= 0 && len(q.waiting) > 0; i-- {
		q.sink(i)
	}
}

func (q *queue) push(e uint64) {
	q.waiting = append(q.waiting, e)
	i := len(q.waiting) - 1
	for i > 0 {
		parent := (i - 1) / heapArity
		if q.waiting[parent] <= e {
			break
		}
		q.waiting[i] = q.waiting[parent]
		i = parent
	}
	q.waiting[i] = e
}

func (q *queue) pop() uint64 {
	first, last := q.waiting[0], len(q.waiting)-1
	q.waiting[0] = q.waiting[last]
	q.waiting = q.waiting[:last]
	if last > 0 {
		q.sink(0)
	}
	return first
}

func (q *queue) sink(i int) {
	w := q.waiting
	e := w[i]
	for {
		least, end := heapArity*i+1, min(heapArity*i+1+heapArity, len(w))
		if least >= end {
			break
		}
		for child := least + 1; child < end; child++ {
			if w[child] < w[least] {
				least = child
			}
		}
		if w[least] >= e {
			break
		}
		w[i] = w[least]
		i = least
	}
	w[i] = e
}
