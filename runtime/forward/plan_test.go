package forward

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

// TestSharedPagesChangeNoBit runs batches of sequences whose lists of pages have pages in common in all ways: beginnings of
// several lengths, none, pages in the middle and pages in another order. Each sequence's rows are what they are alone.
func TestSharedPagesChangeNoBit(t *testing.T) {
	const embedding, page, positions = 48, 16, 400
	for i, s := range []attentionShape{
		{heads: 4, kvHeads: 4, width: 16}, {heads: 6, kvHeads: 2, width: 24}, {heads: 4, kvHeads: 1, width: 16}, {heads: 20, kvHeads: 1, width: 16},
		{heads: 9, kvHeads: 3, width: 16, window: 24}, {heads: 8, kvHeads: 1, width: 32, window: 100},
	} {
		for _, encoding := range []kernels.KVEncoding{kernels.KVF32, kernels.KVF16, kernels.KVInt8} {
			t.Run(fmt.Sprintf("%+v %v", s, encoding), func(t *testing.T) {
				random := rand.New(rand.NewPCG(63, uint64(10*i)+uint64(encoding)))
				b := newAttention(random, s, embedding)
				b.mix.(*attention).softCap = float32(random.IntN(2)) * 2
				shape := Shape{Vocabulary: 16, Context: positions, Embedding: embedding, Layers: 1, Heads: s.heads, KVHeads: s.kvHeads, HeadWidth: s.width, Hidden: 16}
				layout := kernels.NewKVLayout(encoding, 1, s.kvHeads, s.width, page)
				// Pages that a first sequence has written hold real keys and values.
				stock := newKVPages(layout, positions)
				one := pool.New(1)
				defer one.Close()
				sets := kernels.Sets()
				fill := NewPass(&Network{Shape: shape}, layout, sets[0], 1)
				for at := 0; at < positions; at += MaxRows {
					n := min(MaxRows, positions-at)
					forwardBranch(t, b, fill, one, randomStream(random, n*fill.Stride()), []Segment{{Pages: stock, Position: at, Tokens: make([]int32, n)}})
				}
				rounds := 4
				if testing.Short() {
					rounds = 1
				}
				for round := range rounds {
					segments := sharingSegments(random, layout, stock)
					rows := 0
					for _, segment := range segments {
						rows += len(segment.Tokens)
					}
					stream := randomStream(random, rows*fill.Stride())
					alone, row := slices.Clone(stream), 0
					for _, segment := range segments {
						size := len(segment.Tokens) * fill.Stride()
						forwardBranch(t, b, fill, one, alone[row:][:size], []Segment{segment})
						row += size
					}
					for k, set := range sets {
						if set.Name() == "go" && (k > 0 && round > 0) { // slow
							continue
						}
						for _, count := range []int{1, 2, 5} {
							team := pool.New(count)
							p := NewPass(&Network{Shape: shape}, layout, set, count)
							together := slices.Clone(stream)
							forwardBranch(t, b, p, team, together, segments)
							team.Close()
							if !equalBits(together, alone) {
								t.Fatalf("%s, round %d, %d threads: other bits than alone", set.Name(), round, count)
							}
						}
					}
				}
			})
		}
	}
}

// sharingSegments returns segments of up to MaxRows rows. What they write lies in pages of their own.
func sharingSegments(random *rand.Rand, layout kernels.KVLayout, stock []kernels.KVPage) (segments []Segment) {
	for rows := MaxRows; rows > 0 && len(segments) < 40; {
		var pages []kernels.KVPage
		earlier := func() []kernels.KVPage { // what another segment has behind it, or the first sequence
			if len(segments) == 0 || random.IntN(3) == 0 {
				return stock
			}
			other := segments[random.IntN(len(segments))]
			return other.Pages[:other.Position/layout.Positions]
		}
		switch random.IntN(6) {
		case 0: // nothing in common with the beginning of the others
			pages = newKVPages(layout, 16*random.IntN(4))
			for _, page := range pages { // zeros are keys, too
				copy(page, stock[random.IntN(len(stock))])
			}
			from := earlier()
			pages = append(pages, from[min(len(pages), len(from)):]...)
		case 1: // in another order
			pages = slices.Clone(earlier())
			random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
		default: // a beginning, perhaps with a copy of its last page
			from := earlier()
			pages = slices.Clone(from[:random.IntN(len(from)+1)])
			if last := len(pages) - 1; last >= 0 && random.IntN(2) == 0 {
				pages[last] = slices.Clone(pages[last])
			}
		}
		position := len(pages)*layout.Positions - random.IntN(layout.Positions)
		position = max(0, min(position, 360))
		count := min(rows, []int{1, 1, 1 + random.IntN(6), 1 + random.IntN(36)}[random.IntN(4)])
		rows -= count
		// Pages from the first position on are the segment's own.
		pages = pages[:(position+layout.Positions-1)/layout.Positions]
		if first := position / layout.Positions; first < len(pages) {
			pages[first] = slices.Clone(pages[first])
		}
		pages = append(pages, newKVPages(layout, max(0, position+count-len(pages)*layout.Positions))...)
		segments = append(segments, Segment{Pages: pages, Position: position, Tokens: make([]int32, count)})
	}
	return segments
}

func newKVPages(layout kernels.KVLayout, positions int) (pages []kernels.KVPage) {
	for ; positions > 0; positions -= layout.Positions {
		pages = append(pages, make(kernels.KVPage, layout.PageBytes()))
	}
	return pages
}

func randomStream(random *rand.Rand, n int) []float32 {
	stream := make([]float32, n)
	for i := range stream {
		stream[i] = float32(random.NormFloat64())
	}
	return stream
}

// forwardBranch takes a residual stream past a branch.
func forwardBranch(t *testing.T, b *Branch, p *Pass, threads *pool.Pool, stream []float32, segments []Segment) {
	t.Helper()
	p.BeginOn(stream, segments)
	if err := threads.Run(func(w *pool.Worker) { b.Forward(w, p) }); err != nil {
		t.Fatal(err)
	}
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// TestPiecesThatSharePagesAreNeighbours plans random trees of sequences and holds the spans to what they are for: every row's
// positions in order and once, in its own pages; and a page that several pieces of a unit share in one span.
func TestPiecesThatSharePagesAreNeighbours(t *testing.T) {
	random := rand.New(rand.NewPCG(64, 64))
	layout := kernels.NewKVLayout(kernels.KVF32, 1, 4, 16, 16)
	shape := Shape{Vocabulary: 16, Context: 400, Embedding: 64, Layers: 1, Heads: 4, KVHeads: 4, HeadWidth: 16, Hidden: 16}
	p := NewPass(&Network{Shape: shape}, layout, kernels.Sets()[0], 2)
	for range 300 {
		p.BeginOn(nil, sharingSegments(random, layout, newKVPages(layout, 400)))
		q, seen := &p.all, 0
		for _, u := range q.units {
			once, row := map[string]bool{}, 0 // beginnings of lists of pages
			for _, span := range q.spans[u.firstSpan:u.lastSpan] {
				for i := span.First / layout.Positions; i*layout.Positions < span.Last; i++ {
					beginning := ""
					for _, page := range span.Pages[:i+1] {
						beginning += fmt.Sprintf("%p ", page)
					}
					if once[beginning] {
						t.Fatalf("a unit goes through page %d of %+v twice", i, u)
					}
					once[beginning] = true
				}
			}
			for _, piece := range q.pieces[u.firstPiece:u.lastPiece] {
				pages := p.segments[piece.segment].Pages
				for i := row; i < row+piece.count; i++ {
					next := 0
					for _, span := range q.spans[u.firstSpan:u.lastSpan] {
						if i < span.FirstRow || i >= span.LastRow {
							continue
						}
						if span.First != next {
							t.Fatalf("position %d follows %d", span.First, next)
						}
						for next = span.First; next < span.Last; next++ {
							if &span.Pages[next/layout.Positions][0] != &pages[next/layout.Positions][0] {
								t.Fatalf("position %d lies in another sequence's page", next)
							}
						}
					}
					if next != piece.position+piece.count {
						t.Fatalf("%d positions of %d", next, piece.position+piece.count)
					}
				}
				row += piece.count
				seen += piece.count
			}
		}
		if seen != q.count {
			t.Fatalf("%d rows of %d", seen, q.count)
		}
	}
}
