package tokenizer

import (
	"container/heap"
	"math"
	"slices"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

// merger turns words into tokens. A word starts as one token for each byte. Then, as long as any
// two neighbours merge: of all merges that apply the one of the lowest rank is made everywhere in
// the word, from left to right.
//
// Every merge shortens the word, so this ends for any table; the result is the same both ways below.
type merger struct {
	vocabulary *vocabulary.View
}

// scanLimit is the longest word, in bytes, whose merges are found by scanning it over and over. The
// work grows with the square of the length, but in the first-level cache and without allocation.
const scanLimit = 128

func (m *merger) append(ids []int32, word string) []int32 {
	switch {
	case len(word) == 1:
		return append(ids, m.vocabulary.Byte(word[0]))
	case len(word) <= scanLimit:
		return m.scan(ids, word)
	}
	return m.queue(ids, word)
}

// part is a token of a word and the merge with the token after it.
type part struct{ id, rank, result int32 }

const (
	noMerge int32 = math.MaxInt32
	notYet  int32 = -1 // the merge has not been looked up
)

// scan merges a short word.
func (m *merger) scan(ids []int32, word string) []int32 {
	var storage [scanLimit]part
	parts := storage[:len(word)]
	for i := range parts {
		parts[i] = part{id: m.vocabulary.Byte(word[i]), rank: notYet}
	}
	for {
		lowest := m.lookUp(parts)
		if lowest == noMerge {
			break
		}
		parts = mergeAll(parts, lowest)
	}
	for _, p := range parts {
		ids = append(ids, p.id)
	}
	return ids
}

// lookUp completes the parts whose neighbours are new and returns the lowest rank of all.
func (m *merger) lookUp(parts []part) int32 {
	lowest, last := noMerge, len(parts)-1
	for i := range parts[:last] {
		p := &parts[i]
		if p.rank == notYet {
			var ok bool
			if p.rank, p.result, ok = m.vocabulary.Merge(p.id, parts[i+1].id); !ok {
				p.rank = noMerge
			}
		}
		lowest = min(lowest, p.rank)
	}
	parts[last].rank = noMerge
	return lowest
}

// mergeAll makes the merge of this rank from left to right and returns the parts that are left.
func mergeAll(parts []part, rank int32) []part {
	kept := 0
	for i := 0; i < len(parts); i++ {
		p := parts[i]
		if p.rank == rank {
			p = part{id: p.result, rank: notYet}
			if kept > 0 {
				parts[kept-1].rank = notYet
			}
			i++ // the right half
		}
		parts[kept] = p
		kept++
	}
	return parts[:kept]
}

// queue merges a long word in O(n log n): every possible merge waits in the bucket of its rank,
// and every position enters a bucket at most once for each time its neighbours change.
func (m *merger) queue(ids []int32, word string) []int32 {
	w := newLongWord(m.vocabulary, word)
	for len(w.ranks) > 0 {
		w.mergeAll(heap.Pop(&w.ranks).(int32))
	}
	for _, tag := range w.tags {
		if tag >= 0 {
			ids = append(ids, tag)
		}
	}
	return ids
}

// longWord is a word with its tokens in place: a token that covers bytes [start, end) has its id at
// start and, when it is longer than a byte, ^id at end-1. So both neighbours of any token are found
// without links, and a position is the start of a token if and only if its tag is not negative. Every merge makes one
// more tag negative, so this ends even if the lengths of tokens change meanwhile, as those of a mapped file can.
type longWord struct {
	vocabulary *vocabulary.View
	tags       []int32
	buckets    map[int32]*bucket // by rank
	ranks      rankHeap          // of the buckets that hold positions
}

// bucket holds where a merge may apply. Neighbours that have changed since are left in it.
type bucket struct {
	left, right, result int32
	positions           []int32 // starts of left
}

func newLongWord(v *vocabulary.View, word string) *longWord {
	w := &longWord{vocabulary: v, tags: make([]int32, len(word)), buckets: make(map[int32]*bucket)}
	for i := range len(word) {
		w.tags[i] = v.Byte(word[i])
	}
	for i := 1; i < len(word); i++ {
		w.push(i-1, w.tags[i-1], w.tags[i])
	}
	return w
}

// push notes the merge of the token at start with its neighbour, if there is one.
func (w *longWord) push(start int, left, right int32) {
	rank, result, ok := w.vocabulary.Merge(left, right)
	if !ok {
		return
	}
	b := w.buckets[rank]
	if b == nil {
		b = &bucket{left: left, right: right, result: result}
		w.buckets[rank] = b
	}
	if len(b.positions) == 0 {
		heap.Push(&w.ranks, rank)
	}
	b.positions = append(b.positions, int32(start))
}

// mergeAll makes the merge of this rank from left to right. None of the neighbours it makes can
// merge at this rank: they hold the result, which is longer than either of its halves.
func (w *longWord) mergeAll(rank int32) {
	b := w.buckets[rank]
	slices.Sort(b.positions)
	leftLength, rightLength := w.vocabulary.Length(b.left), w.vocabulary.Length(b.right)
	if leftLength == 0 || rightLength == 0 {
		panic(format.Changed("a merge of empty tokens"))
	}
	for _, position := range b.positions {
		start := int(position)
		middle := start + leftLength
		end := middle + rightLength
		if w.tags[start] != b.left || middle >= len(w.tags) || w.tags[middle] != b.right {
			continue
		}
		if end > len(w.tags) {
			panic(format.Changed("a token longer than its word"))
		}
		w.tags[middle] = ^b.right // inside the result now
		w.tags[end-1] = ^b.result
		w.tags[start] = b.result

		if start > 0 {
			before := w.tags[start-1]
			if before < 0 {
				before = ^before
			}
			from := start - w.vocabulary.Length(before)
			if from < 0 {
				panic(format.Changed("a token longer than its word"))
			}
			w.push(from, before, b.result)
		}
		if end < len(w.tags) {
			w.push(start, b.result, w.tags[end])
		}
	}
	b.positions = b.positions[:0]
}

// rankHeap is a heap of ranks, the lowest first.
type rankHeap []int32

func (h rankHeap) Len() int           { return len(h) }
func (h rankHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h rankHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *rankHeap) Push(rank any)     { *h = append(*h, rank.(int32)) }
func (h *rankHeap) Pop() any {
	last := len(*h) - 1
	rank := (*h)[last]
	*h = (*h)[:last]
	return rank
}
