package kernels

import (
	"fmt"
	"slices"
)

const (
	// queryTile is the largest number of rows of queries that go through the cache together: they share the
	// loads and conversions of keys and values.
	queryTile = 4
	// AttendRows is the largest number of rows of queries whose scores are held at the same time. Where they are more than
	// a tile, they go through the cache in steps of attendPositions, so that what the first tile has read is in the second-level
	// cache for the others: 128 KB of keys of 64 dimensions in binary16. In shorter steps the processor's reading ahead begins
	// anew too often.
	AttendRows      = 16
	attendPositions = 1024
)

// Queries are rows of queries of one KV head, and what they see. A row is a query of some position, of some sequence
// and of some query head that shares the KV head.
type Queries struct {
	Head    KVHead    // where its part of a page lies; the pages that it views are replaced by those of the spans
	Rows    []float32 // [len(Counts), Head.Width], times the attention scale
	Counts  []int     // row i sees the positions below Counts[i], at least 1
	Window  int       // of these the last ones, as many as Window says; 0: all
	SoftCap float32   // each score is replaced by SoftCap*tanh(score/SoftCap), see Set.SoftCap; 0: it is not
	// Spans say where the rows find what they see. The spans of a row follow each other, from position 0 to the row's count.
	Spans []Span
}

// Span is a run of positions that some rows find in the same pages. Either all of these rows see more than the span and have
// another one behind it, or it is the last one for all of them and their counts do not decrease.
type Span struct {
	Pages             []KVPage // of the sequence of one of the rows, from its beginning
	FirstRow, LastRow int      // rows FirstRow <= i < LastRow
	First, Last       int      // positions First <= t < Last; First begins a block of 16
}

// ends reports whether a span is the last one of its rows.
func (q *Queries) ends(span *Span) bool { return span.Last >= q.Counts[span.LastRow-1] }

// check panics where rows or spans are not inside of what they need, and returns the largest count.
func (q *Queries) check() (most int) {
	for _, count := range q.Counts {
		most = max(most, count)
		if count < 1 {
			panic(fmt.Sprintf("kernels: a query of %d positions", count))
		}
	}
	if len(q.Rows) < len(q.Counts)*q.Head.Width || q.Window < 0 {
		panic(fmt.Sprintf("kernels: %d rows of %d dimensions in %d numbers, window %d", len(q.Counts), q.Head.Width, len(q.Rows), q.Window))
	}
	for k := range q.Spans {
		span := &q.Spans[k]
		if span.FirstRow < 0 || span.FirstRow >= span.LastRow || span.LastRow > len(q.Counts) || span.First < 0 || span.First >= span.Last ||
			span.First%blockPositions != 0 || span.Last > min(most, len(span.Pages)*q.Head.Positions) {
			panic(fmt.Sprintf("kernels: rows %d to %d of %d see positions %d to %d of %d pages of %d, the last of them below %d",
				span.FirstRow, span.LastRow, len(q.Counts), span.First, span.Last, len(span.Pages), q.Head.Positions, most))
		}
	}
	return most
}

// ScoreSpace returns the scratch that Attend needs for up to that many positions: for each row a score for every
// position, and a sum.
func ScoreSpace(positions int) int { return AttendRows * (PaddedPositions(positions) + 1) }

// Attend runs causal attention with one KV head. The keys and values that the queries see have been stored before, and no others
// take part in the result of row i, of Head.Width values at out[i*stride:]. scores is scratch of at least ScoreSpace(the largest
// count) values.
func (s *Set) Attend(out []float32, stride int, q *Queries, scores []float32) {
	rows := len(q.Counts)
	if rows == 0 {
		return
	}
	most := q.check()
	if stride < q.Head.Width || len(out) < (rows-1)*stride+q.Head.Width || len(scores) < ScoreSpace(most) {
		panic(fmt.Sprintf("kernels: attention of %d rows over %d positions, head %d, scratch %d, output %d with stride %d",
			rows, most, q.Head.Width, len(scores), len(out), stride))
	}
	row := PaddedPositions(most)
	sums := scores[AttendRows*row:][:AttendRows]
	for first := 0; first < rows; first += AttendRows {
		last := min(first+AttendRows, rows)
		s.Scores(scores, row, q, first, last, 0, most)
		for i := first; i < last; i++ {
			sums[i-first] = s.Softmax(scores[(i-first)*row:][:row], q, i)
		}
		s.Weigh(out[first*stride:], stride, scores, row, sums, q, first, last, 0, q.Head.Width)
	}
}

// Threads that share a head take the steps of Attend one by one, meeting after each: Scores for positions of
// their own, Softmax for rows of their own, Weigh for dimensions of their own. The results are those of Attend. Each thread has Queries
// of its own.

// Scores writes the scores of rows first <= i < last, at most AttendRows, with positions from <= t < to, as far as these rows
// see them, to scores[(i-first)*stride+t]. from begins a block of 16.
func (s *Set) Scores(scores []float32, stride int, q *Queries, first, last, from, to int) {
	for k := range q.Spans {
		span := &q.Spans[k]
		firstRow, lastRow := max(first, span.FirstRow), min(last, span.LastRow)
		if firstRow >= lastRow {
			continue
		}
		q.Head.pages = span.Pages
		begin, end := max(from, span.First, scoredFrom(slices.Min(q.Counts[firstRow:lastRow]), q.Window)), min(to, span.Last)
		step := q.step(lastRow-firstRow, end-begin)
		for ; begin < end; begin += step {
			for i := firstRow; i < lastRow; i += queryTile {
				counts := q.Counts[i:min(i+queryTile, lastRow)]
				// Of a causal tile, earlier rows may see less than this step.
				tileBegin := max(begin, scoredFrom(slices.Min(counts), q.Window))
				tileEnd := min(begin+step, end, counts[len(counts)-1])
				if tileBegin < tileEnd {
					s.scores(scores[(i-first)*stride:], stride, q.Rows[i*q.Head.Width:], len(counts), &q.Head, tileBegin, tileEnd)
				}
			}
		}
	}
}

// Softmax replaces the scores of row i by weights and returns the sum of the exponentials.
func (s *Set) Softmax(scores []float32, q *Queries, i int) float32 {
	k := 0
	for ; i < q.Spans[k].FirstRow || i >= q.Spans[k].LastRow || !q.ends(&q.Spans[k]); k++ {
	}
	q.Head.pages = q.Spans[k].Pages // the row's own
	count := q.Counts[i]
	begin := seenFrom(count, q.Window)
	if q.SoftCap != 0 {
		s.SoftCap(scores[begin:count], q.SoftCap)
	}
	return s.softmax(scores, &q.Head, begin, count)
}

// Weigh writes dimensions from <= d < to, multiples of 16, of the results of rows first <= i < last to out[(i-first)*stride:].
// weights and sums begin with those of row first.
func (s *Set) Weigh(out []float32, stride int, weights []float32, weightStride int, sums []float32, q *Queries, first, last, from, to int) {
	if from == to {
		return
	}
	for i := range last - first {
		clear(out[i*stride+from : i*stride+to])
	}
	for k := range q.Spans {
		span := &q.Spans[k]
		firstRow, lastRow := max(first, span.FirstRow), min(last, span.LastRow)
		if firstRow >= lastRow {
			continue
		}
		q.Head.pages = span.Pages
		begin, end := max(span.First, scoredFrom(slices.Min(q.Counts[firstRow:lastRow]), q.Window)), min(span.Last, q.Counts[lastRow-1])
		step := q.step(lastRow-firstRow, end-begin)
		for ; begin < end; begin += step {
			for i := firstRow; i < lastRow; i += queryTile {
				counts := q.Counts[i:min(i+queryTile, lastRow)]
				var divisors []float32
				if begin+step >= end && q.ends(span) {
					divisors = sums[i-first:][:len(counts)]
				}
				s.weighRange(out[(i-first)*stride:], stride, weights[(i-first)*weightStride:], weightStride, divisors, q, counts,
					begin, min(begin+step, end), from, to)
			}
		}
	}
}

// step returns how many positions the tiles of some rows go through in turn.
func (q *Queries) step(rows, positions int) int {
	if rows <= queryTile {
		return max(positions, 1)
	}
	return max(attendPositions, q.Head.Positions)
}

// weighRange adds to the rows of a tile, for dimensions from <= d < to, the weighted values of those positions
// first <= t < last that each row sees, and divides by sums, unless they are nil.
func (s *Set) weighRange(out []float32, stride int, weights []float32, weightStride int, sums []float32, q *Queries, counts []int, first, last, from, to int) {
	var ends [queryTile]int
	rows := len(counts)
	if q.Window > 0 { // what some rows of the tile do not see any more, the others take alone
		common := min(seenFrom(slices.Max(counts), q.Window), last)
		for i, count := range counts {
			ends[0] = min(count, common)
			if begin := max(first, seenFrom(count, q.Window)); begin < ends[0] {
				s.weigh(out[i*stride:], stride, weights[i*weightStride:], weightStride, nil, &q.Head, 1, begin, ends, from, to)
			}
		}
		first = max(first, common)
	}
	for i, count := range counts {
		ends[i] = min(max(count, first), last)
	}
	s.weigh(out, stride, weights, weightStride, sums, &q.Head, rows, first, ends, from, to)
}

// Fetch asks for what attention over count positions will read first, the keys and values of a page, so that they come while
// something else is computed. It changes nothing but the time.
func (h *KVHead) Fetch(count int) {
	count = min(count, h.Positions, h.capacity())
	if count < 1 {
		return
	}
	const line = 64
	page := h.pages[0]
	fetchLines(&page[h.keys], PaddedPositions(count)*h.Width*h.Encoding.Bytes()/line)
	fetchLines(&page[h.values], (count*h.Width*h.Encoding.Bytes()+line-1)/line)
}

// seenFrom returns the first position that a query sees which sees the positions below count, or of them the
// last window ones.
func seenFrom(count, window int) int {
	if window == 0 {
		return 0
	}
	return max(0, count-window)
}

// scoredFrom returns the first position that scores are computed for, which begins the block of the first one that the query
// sees.
func scoredFrom(count, window int) int {
	return seenFrom(count, window) / blockPositions * blockPositions
}
