package kernels

import "fmt"

const (
	// queryTile is the largest number of rows of queries that go through the cache together: they share the
	// loads and conversions of keys and values.
	queryTile = 4
	// AttendRows is the largest number of rows of queries whose scores are held at the same time. Where they are more than
	// a tile, they go through the cache in steps of attendPositions, which stay in the first-level cache for
	// the second tile: 32 KB of keys of 64 dimensions in binary16.
	AttendRows      = 2 * queryTile
	attendPositions = 256
)

// ScoreSpace returns the scratch that Attend needs for up to that many positions: for each row a score for every
// position, and a sum.
func ScoreSpace(positions int) int { return AttendRows * (PaddedPositions(positions) + 1) }

// Attend runs causal attention with one KV head. A row is a query of some position and some query head that
// shares the KV head: q holds the rows, times the attention scale, [len(counts), h.Width]. Row i sees the positions
// below counts[i], which do not decrease from row to row; of these, unless window is 0, the last window ones.
// Unless softCap is 0, each score is replaced by softCap*tanh(score/softCap), see SoftCap. Their keys and values have been stored before, and no others take part in its result, of h.Width values at
// out[i*stride:]. scores is scratch of at least ScoreSpace(the largest count) values.
func (s *Set) Attend(out []float32, stride int, q []float32, h *KVHead, counts []int, window int, softCap float32, scores []float32) {
	if len(counts) == 0 {
		return
	}
	most := counts[len(counts)-1]
	if counts[0] < 1 || most > h.capacity() || window < 0 || len(q) < len(counts)*h.Width || stride < h.Width ||
		len(out) < (len(counts)-1)*stride+h.Width || len(scores) < ScoreSpace(most) {
		panic(fmt.Sprintf("kernels: attention of %d rows over %d to %d of %d positions, head %d, scratch %d, output %d with stride %d",
			len(counts), counts[0], most, h.capacity(), h.Width, len(scores), len(out), stride))
	}
	for first := 0; first < len(counts); {
		rows := len(counts) - first
		if rows > queryTile && rows <= AttendRows && counts[first] > attendPositions || window > 0 { // the last rows share what they read
			rows = min(rows, AttendRows)
			s.attendTogether(out[first*stride:], stride, q[first*h.Width:], h, counts[first:first+rows], window, softCap, scores)
		} else {
			rows = min(rows, queryTile)
			s.attendTile(out[first*stride:], stride, q[first*h.Width:], h, counts[first:first+rows], softCap, scores)
		}
		first += rows
	}
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

// attendTile is Attend for at most queryTile rows without a window.
func (s *Set) attendTile(out []float32, stride int, q []float32, h *KVHead, counts []int, softCap float32, scores []float32) {
	rows := len(counts)
	end := counts[rows-1]
	row := PaddedPositions(end)
	s.scores(scores, row, q, rows, h, 0, end)
	sums := scores[AttendRows*row:][:queryTile]
	var ends [queryTile]int
	for i, count := range counts {
		sums[i] = s.Softmax(scores[i*row:][:row], h, count, 0, softCap)
		ends[i] = count
		clear(out[i*stride:][:h.Width])
	}
	s.weigh(out, stride, scores, row, sums, h, rows, 0, ends, 0, h.Width)
}

// attendTogether is Attend for at most AttendRows rows.
func (s *Set) attendTogether(out []float32, stride int, q []float32, h *KVHead, counts []int, window int, softCap float32, scores []float32) {
	rows, end := len(counts), counts[len(counts)-1]
	row := PaddedPositions(end)
	begin := scoredFrom(counts[0], window)
	step := end - begin
	if rows > queryTile {
		step = max(attendPositions, h.Positions)
	}

	for first := begin; first < end; first += step {
		last := min(first+step, end)
		for i := 0; i < rows; i += queryTile {
			tile := min(queryTile, rows-i)
			if end := min(last, counts[i+tile-1]); first < end { // earlier rows may see less than this step
				s.scores(scores[i*row:], row, q[i*h.Width:], tile, h, first, end)
			}
		}
	}
	sums := scores[AttendRows*row:][:AttendRows]
	for i, count := range counts {
		sums[i] = s.Softmax(scores[i*row:][:row], h, count, window, softCap)
		clear(out[i*stride:][:h.Width])
	}
	for first := begin; first < end; first += step {
		last := min(first+step, end)
		for i := 0; i < rows; i += queryTile {
			tile := min(queryTile, rows-i)
			var divisors []float32
			if last == end {
				divisors = sums[i : i+tile]
			}
			s.weighRange(out[i*stride:], stride, scores[i*row:], row, divisors, h, counts[i:i+tile], window, first, last, 0, h.Width)
		}
	}
}

// weighRange adds to the rows of a tile, for dimensions from <= d < to, the weighted values of those positions
// first <= t < last that each row sees, and divides by sums, unless they are nil.
func (s *Set) weighRange(out []float32, stride int, weights []float32, weightStride int, sums []float32, h *KVHead, counts []int, window, first, last, from, to int) {
	var ends [queryTile]int
	rows := len(counts)
	if window > 0 { // what some rows of the tile do not see any more, the others take alone
		common := min(seenFrom(counts[rows-1], window), last)
		for i, count := range counts {
			ends[0] = min(count, common)
			if begin := max(first, seenFrom(count, window)); begin < ends[0] {
				s.weigh(out[i*stride:], stride, weights[i*weightStride:], weightStride, nil, h, 1, begin, ends, from, to)
			}
		}
		first = max(first, common)
	}
	for i, count := range counts {
		ends[i] = min(max(count, first), last)
	}
	s.weigh(out, stride, weights, weightStride, sums, h, rows, first, ends, from, to)
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

// Threads that share a head take the steps of Attend one by one, meeting after each: Scores for positions of
// their own, Softmax for rows of their own, Weigh for dimensions of their own. The results are those of Attend.

// Scores writes the scores of rows q [len(counts), h.Width] with the positions of pages first <= p < last, as far as
// some row sees them, to scores[i*stride:] by position.
func (s *Set) Scores(scores []float32, stride int, q []float32, h *KVHead, counts []int, window, first, last int) {
	for i := 0; i < len(counts); i += queryTile {
		tile := min(queryTile, len(counts)-i)
		begin := max(first*h.Positions, scoredFrom(counts[i], window))
		if end := min(last*h.Positions, counts[i+tile-1]); begin < end {
			s.scores(scores[i*stride:], stride, q[i*h.Width:], tile, h, begin, end)
		}
	}
}

// Softmax replaces the scores of one row by weights and returns the sum of the exponentials.
func (s *Set) Softmax(scores []float32, h *KVHead, count, window int, softCap float32) float32 {
	first := seenFrom(count, window)
	if softCap != 0 {
		s.SoftCap(scores[first:count], softCap)
	}
	return s.softmax(scores, h, first, count)
}

// Weigh writes dimensions from <= d < to, multiples of 16, of the results of all rows to out[i*stride:].
func (s *Set) Weigh(out []float32, stride int, weights []float32, weightStride int, sums []float32, h *KVHead, counts []int, window, from, to int) {
	if from == to {
		return
	}
	for i := range counts {
		clear(out[i*stride+from : i*stride+to])
	}
	for i := 0; i < len(counts); i += queryTile {
		tile := counts[i:min(i+queryTile, len(counts))]
		first := seenFrom(tile[0], window)
		s.weighRange(out[i*stride:], stride, weights[i*weightStride:], weightStride, sums[i:], h, tile, window, first, tile[len(tile)-1], from, to)
	}
}
