package forward

import "github.com/tti-llm/tti/kernels"

// plan is how attention takes some of the rows of a pass.
type plan struct {
	count     int // rows
	pieces    []piece
	units     []unit
	spans     []kernels.Span // of all units
	short     bool           // no sequence has more than one piece
	positions int            // the largest number that a row sees
}

// piece is some rows of a sequence, at most queryBlock, that follow each other.
type piece struct {
	segment  int
	position int // of the first row
	row      int // its number in the batch
	out      int // its number among the rows of the plan
	count    int
	// shared is how many pages the piece has in common with the one before it.
	shared int
}

// unit is some pieces that attention takes at a time: a single one, or several whose sequences begin with the same pages.
// It walks such a page once for all of them.
type unit struct {
	firstPiece, lastPiece int // pieces firstPiece <= i < lastPiece of the plan
	firstSpan, lastSpan   int
}

func (q *plan) clear() {
	*q = plan{pieces: q.pieces[:0], units: q.units[:0], spans: q.spans[:0], short: true}
}

// add plans consecutive rows of a sequence.
func (q *plan) add(segment, row, position, count int) {
	q.short = q.short && count <= queryBlock
	q.positions = max(q.positions, position+count)
	for first := 0; first < count; first += queryBlock {
		q.pieces = append(q.pieces, piece{
			segment: segment, position: position + first, row: row + first, out: q.count + first, count: min(queryBlock, count-first),
		})
	}
	q.count += count
}

// join makes units of the pieces. As many as share pages go together until they have as many queries as attention can hold
// the scores of; but no more than leave units for all threads.
func (p *Pass) join(q *plan) {
	p.order(q.pieces, 0)
	group := p.shape.group()
	most := min(kernels.AttendRows/group, (q.count*p.shape.KVHeads+len(p.threads)-1)/len(p.threads))
	for first := 0; first < len(q.pieces); {
		last, rows := first+1, q.pieces[first].count
		for last < len(q.pieces) && q.pieces[last].shared > 0 && rows+q.pieces[last].count <= most {
			rows += q.pieces[last].count
			last++
		}
		u := unit{firstPiece: first, lastPiece: last, firstSpan: len(q.spans)}
		p.divide(q, q.pieces[first:last], 0, 0)
		u.lastSpan = len(q.spans)
		q.units = append(q.units, u)
		first = last
	}
}

// order sorts pieces, all of which have the same pages below page, so that those which have more in common are neighbours, and
// sets how much each has in common with the one before it, but for the first one.
func (p *Pass) order(pieces []piece, page int) {
	for len(pieces) > 0 {
		same := 1 // pieces that have this page, too, come first
		for i := 1; i < len(pieces); i++ {
			if p.share(&pieces[0], &pieces[i], page) {
				pieces[same], pieces[i] = pieces[i], pieces[same]
				same++
			}
		}
		if same > 1 {
			next := page + 1
			for p.allShare(pieces[:same], next) {
				next++
			}
			p.order(pieces[:same], next)
		}
		if pieces = pieces[same:]; len(pieces) > 0 {
			pieces[0].shared = page
		}
	}
}

// share reports whether a page of two pieces is the same. Pages that a pass writes to are none: no other sequence has them.
func (p *Pass) share(a, b *piece, page int) bool {
	return (page+1)*p.layout.Positions <= min(a.position, b.position) &&
		&p.segments[a.segment].Pages[page][0] == &p.segments[b.segment].Pages[page][0]
}

func (p *Pass) allShare(pieces []piece, page int) bool {
	for i := 1; i < len(pieces); i++ {
		if !p.share(&pieces[0], &pieces[i], page) {
			return false
		}
	}
	return true
}

// divide adds the spans of pieces that have the same pages below page to the plan: first one of what they all share, then those
// of the parts that have more in common. row is the first of the pieces' queries in their unit.
func (p *Pass) divide(q *plan, pieces []piece, row, page int) {
	group, rows, to := p.shape.group(), 0, pieces[len(pieces)-1].shared
	for i := range pieces {
		rows += pieces[i].count * group
		if i > 0 {
			to = min(to, pieces[i].shared)
		}
	}
	span := kernels.Span{Pages: p.segments[pieces[0].segment].Pages, FirstRow: row, LastRow: row + rows, First: page * p.layout.Positions}
	if len(pieces) == 1 {
		span.Last = pieces[0].position + pieces[0].count
		q.spans = append(q.spans, span)
		return
	}
	if to > page {
		span.Last = to * p.layout.Positions
		q.spans = append(q.spans, span)
	}
	for first := 0; first < len(pieces); {
		last, rows := first+1, pieces[first].count*group
		for ; last < len(pieces) && pieces[last].shared > to; last++ {
			rows += pieces[last].count * group
		}
		p.divide(q, pieces[first:last], row, to)
		row += rows
		first = last
	}
}
