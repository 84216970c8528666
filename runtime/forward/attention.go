package forward

import (
	"slices"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

// attention is causal self-attention. Query heads that share a KV head go through its keys and values together.
type attention struct {
	layer   int // in the pages of the cache
	heads   int // query heads
	kvHeads int // heads is a multiple of it
	width   int // of a head
	scale   float32
	window  int     // how many positions a query sees, its own included; 0: all up to its own
	softCap float32 // bound of the scores; 0: none
	rotary  *int    // number of the rotary embedding; nil: none
	last    bool    // of the network: here rows whose logits nobody wants end

	queryNorm, keyNorm Norm // of a head, or of all heads together
}

// sharedPositions is from how many positions on threads share the work of one head where there are too few for all: below
// that, meeting at barriers costs more.
const sharedPositions = 256

func (a *attention) inputs(p *Pass, _ *pool.Worker) ([]float32, int, int) {
	return p.qkv, a.stride(), 1
}

// stride is the length of a row of queries, keys and values.
func (a *attention) stride() int { return format.PaddedRows((a.heads + 2*a.kvHeads) * a.width) }

// group is the number of query heads that share a KV head.
func (a *attention) group() int { return a.heads / a.kvHeads }

func (a *attention) mix(w *pool.Worker, p *Pass, b *Branch) *kernels.Activations {
	w.Barrier() // queries, keys and values are complete
	if a.normalizesRows() {
		a.normalizeRows(w, p)
		w.Barrier()
	}
	a.prepare(w, p)
	rows := &p.all
	if a.last {
		rows = &p.wanted
		p.narrow(w)
	}
	out := &p.threads[w.Index].attention
	out.Resize(rows.count, a.heads*a.width)
	first, last := 0, 0 // columns of out that are this thread's alone
	switch {
	case a.kvHeads >= w.Count && rows.short: // those that a thread has stored are the only ones it reads
		head, end := w.Split(a.kvHeads, 1)
		for i, u := range rows.units {
			for h := head; h < end; h++ {
				switch {
				case len(rows.units) == 1: // the processor sees what comes next
				case h+1 < end:
					a.fetch(p, rows, u, h+1)
				case i+1 < len(rows.units):
					a.fetch(p, rows, rows.units[i+1], head)
				}
				a.attend(w, p, rows, u, h, out)
			}
		}
		first, last = head*a.group()*a.width, end*a.group()*a.width
	case len(rows.units)*a.kvHeads < w.Count && rows.positions >= sharedPositions:
		w.Barrier()
		a.attendTogether(w, p, rows, out)
	default: // units of all heads are dealt out in turn, because later queries see more positions and cost more
		w.Barrier()
		for i := w.Index; i < len(rows.units)*a.kvHeads; i += w.Count {
			a.attend(w, p, rows, rows.units[i/a.kvHeads], i%a.kvHeads, out)
		}
	}
	switch {
	case !b.Out.integer():
	case first < last && a.group()*a.width%format.GroupColumns == 0:
		p.kernels.QuantizeColumns(out, first, last)
	default: // what belongs to a group comes from several threads
		w.Barrier()
		first, last := w.Split(out.Tokens, 1)
		p.kernels.Quantize(out, first, last)
	}
	return out
}

// normalizesRows reports whether queries and keys have norms of all heads together.
func (a *attention) normalizesRows() bool {
	return a.queryNorm.Kind != NoNorm && len(a.queryNorm.Weight) > a.width
}

// normalizeRows normalizes queries and keys of all heads together, each thread those of its share of the rows.
func (a *attention) normalizeRows(w *pool.Worker, p *Pass) {
	first, last := w.Split(p.all.count, 1)
	for row := first; row < last; row++ {
		queries := p.qkv[row*a.stride():]
		keys := queries[a.heads*a.width:]
		a.queryNorm.apply(p.kernels, queries, 0, queries, 0, 1, a.heads*a.width)
		a.keyNorm.apply(p.kernels, keys, 0, keys, 0, 1, a.kvHeads*a.width)
	}
}

// turn normalizes heads that follow each other, queries or keys, one by one where they have not been normalized together,
// and turns them by the position of their row.
func (a *attention) turn(p *Pass, row int, heads []float32, n *Norm) {
	if n.Kind != NoNorm && !a.normalizesRows() {
		n.apply(p.kernels, heads, a.width, heads, a.width, len(heads)/a.width, a.width)
	}
	if a.rotary == nil {
		return
	}
	cos, sin := p.turns[*a.rotary].row(row)
	for at := 0; at < len(heads); at += a.width {
		p.kernels.Rotate(heads[at:at+a.width], cos, sin)
	}
}

// prepare normalizes and turns queries and keys of all rows, and writes keys and values to the cache: each thread those of
// KV heads of its own and of the query heads that share them or, where heads are too few, those of rows.
func (a *attention) prepare(w *pool.Worker, p *Pass) {
	own := &p.threads[w.Index]
	firstHead, lastHead, firstRow, lastRow := 0, a.kvHeads, 0, p.all.count
	if a.kvHeads >= w.Count {
		firstHead, lastHead = w.Split(a.kvHeads, 1)
	} else {
		firstRow, lastRow = w.Split(p.all.count, 1)
	}
	keys, values := a.heads*a.width, (a.heads+a.kvHeads)*a.width
	for h := firstHead; h < lastHead; h++ {
		row := 0
		for _, s := range p.segments {
			own.head = p.layout.Head(s.Pages, a.layer, h)
			for i := range s.Tokens {
				if row >= firstRow && row < lastRow {
					qkv := p.qkv[row*a.stride():]
					key, value := qkv[keys+h*a.width:][:a.width], qkv[values+h*a.width:][:a.width]
					a.turn(p, row, qkv[h*a.group()*a.width:][:a.group()*a.width], &a.queryNorm)
					a.turn(p, row, key, &a.keyNorm)
					p.kernels.Store(&own.head, s.Position+i, key, value)
				}
				row++
			}
		}
	}
}

// attend writes what the query heads of a KV head find for a unit to their columns of out.
func (a *attention) attend(w *pool.Worker, p *Pass, rows *plan, u unit, kvHead int, out *kernels.Activations) {
	own := &p.threads[w.Index]
	a.gather(p, own, rows, u, kvHead)
	p.kernels.Attend(own.attended, own.queries.Head.Width, &own.queries, own.scores)
	a.scatter(out, own.attended, rows, u, kvHead, 0, a.width)
}

// fetch asks for the keys and values that a unit will read first. Short texts are read in pieces that are too small for the
// processor to foresee.
func (a *attention) fetch(p *Pass, rows *plan, u unit, kvHead int) {
	span := &rows.spans[u.firstSpan]
	head := p.layout.Head(span.Pages, a.layer, kvHead)
	head.Fetch(span.Last)
}

// gather makes the queries of a unit and a KV head a thread's own: scaled, head after head for each position of each piece.
func (a *attention) gather(p *Pass, own *thread, rows *plan, u unit, kvHead int) {
	q, group := &own.queries, a.group()
	q.Head = p.layout.Head(nil, a.layer, kvHead)
	q.Window, q.SoftCap, q.Spans = a.window, a.softCap, rows.spans[u.firstSpan:u.lastSpan]
	q.Counts = q.Counts[:0]
	for _, s := range rows.pieces[u.firstPiece:u.lastPiece] {
		for t := range s.count {
			qkv := p.qkv[(s.row+t)*a.stride()+kvHead*group*a.width:]
			for j := range group {
				query := q.Rows[len(q.Counts)*q.Head.Width:][:q.Head.Width]
				p.kernels.Scale(query, qkv[j*a.width:][:a.width], a.scale)
				clear(query[a.width:])
				q.Counts = append(q.Counts, s.position+t+1)
			}
		}
	}
}

// scatter copies dimensions from <= d < to of what the queries of a unit have found, as gather ordered them, to the
// columns of their heads.
func (a *attention) scatter(out *kernels.Activations, attended []float32, rows *plan, u unit, kvHead, from, to int) {
	group, width := a.group(), kernels.PaddedHead(a.width)
	for _, s := range rows.pieces[u.firstPiece:u.lastPiece] {
		for i := range s.count * group {
			columns := out.Row(s.out + i/group)[(kvHead*group+i%group)*a.width:]
			copy(columns[from:to], attended[i*width+from:])
		}
		attended = attended[s.count*group*width:]
	}
}

// attendTogether lets all threads work on each head: they share its positions for the scores and its dimensions for the
// values. The n-th head of all units has its scores and sums in the memory of thread n.
func (a *attention) attendTogether(w *pool.Worker, p *Pass, rows *plan, out *kernels.Activations) {
	own := &p.threads[w.Index]
	q, width := &own.queries, kernels.PaddedHead(a.width)
	// each calls f for every head of every unit, with its queries at hand: those from first on, as many as scores have
	// room for.
	each := func(first int, f func(shared *thread, u unit, kvHead, last int)) {
		for i := range len(rows.units) * a.kvHeads {
			u, kvHead := rows.units[i/a.kvHeads], i%a.kvHeads
			if a.gather(p, own, rows, u, kvHead); first < len(q.Counts) {
				f(&p.threads[i], u, kvHead, min(first+kernels.AttendRows, len(q.Counts)))
			}
		}
	}
	stride, most := kernels.PaddedPositions(rows.positions), 0
	for _, u := range rows.units {
		most = max(most, rows.spans[u.lastSpan-1].LastRow)
	}
	for first := 0; first < most; first += kernels.AttendRows {
		each(first, func(shared *thread, u unit, kvHead, last int) {
			positions := slices.Max(q.Counts[first:last])
			from, to := w.Split(positions, p.layout.Positions)
			p.kernels.Scores(shared.scores, stride, q, first, last, from, to)
		})
		w.Barrier()
		each(first, func(shared *thread, u unit, kvHead, last int) {
			for i := first + w.Index; i < last; i += w.Count {
				shared.sums[i-first] = p.kernels.Softmax(shared.scores[(i-first)*stride:][:stride], q, i)
			}
		})
		w.Barrier()
		each(first, func(shared *thread, u unit, kvHead, last int) {
			from, to := w.Split(width, 16)
			p.kernels.Weigh(shared.attended[first*width:], width, shared.scores, stride, shared.sums, q, first, last, from, to)
			if last == len(q.Counts) {
				a.scatter(out, shared.attended, rows, u, kvHead, min(from, a.width), min(to, a.width))
			}
		})
		w.Barrier()
	}
}
