package forward

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

const (
	// MaxRows is the largest number of rows that go through the layers together. More would not read the
	// weights much less often, and the activations would leave the second-level cache.
	MaxRows = 64
	// privateRows is up to how many rows every thread normalizes the input of a matrix for itself: a row more costs less
	// than meeting at a barrier.
	privateRows = 3
	// queryBlock is the largest number of consecutive queries that attention takes at a time.
	queryBlock = 16
)

// Segment is what a pass has of one sequence: tokens that follow each other.
type Segment struct {
	Pages    []kernels.KVPage // of the sequence, with room for the tokens
	Position int              // of the first token
	Tokens   []int32          // that the vocabulary has
	Logits   int              // how many tokens' logits are wanted, the last ones
}

// Pass is one trip of some rows, each a token of a sequence, through the layers, and the memory it needs.
type Pass struct {
	kernels *kernels.Set
	layout  kernels.KVLayout
	network *Network // of which only the outer parts are used here
	shape   Shape

	segments []Segment
	all      plan      // of all rows
	wanted   plan      // of the rows whose logits are wanted: only these go through the end of the last layer
	logits   []float32 // rows of padded vocabulary, one for each wanted row

	residual  []float32 // [rows, embedding]: the pass's own memory or its caller's
	own       []float32 // [MaxRows, embedding]
	turns     []turns   // of each rotary embedding
	qkv       []float32 // [rows, (heads + 2 KV heads) * width]
	gates     []float32 // [rows, 2 hidden], of gated feed-forward blocks
	projected []float32 // [rows, embedding]
	threads   []thread
}

// plan is how attention takes some of the rows.
type plan struct {
	count int // rows
	units []unit
	short bool // no sequence has more than one unit
	// positions is the largest number that a row sees.
	positions int
}

// unit is some rows of a sequence, at most queryBlock, that follow each other.
type unit struct {
	segment  int
	position int // of the first row
	row      int // its number in the batch
	out      int // its number among the rows of the plan
	count    int
}

// thread is what every thread has for itself.
type thread struct {
	// Views of the inputs of matrices, which all threads share.
	normalized kernels.Activations // [rows, embedding]
	attention  kernels.Activations // [rows, heads * width]
	hidden     kernels.Activations // [rows, hidden]

	narrowed    bool                // the residual stream has only rows whose logits are wanted
	first, last int                 // columns of the latest products with a branch's matrix that this thread has computed
	private     kernels.Activations // [privateRows, embedding]

	head     kernels.KVHead
	queries  []float32 // [queryBlock * heads / KV heads, padded width], scaled
	counts   []int     // of positions that each of the queries sees
	attended []float32 // what they find, [queryBlock * heads / KV heads, padded width]
	scores   []float32
	sums     []float32

	_ [64]byte // to the next cache line, whatever the alignment
}

// NewPass returns a pass for a network, or layers of it that are driven alone, and caches of the layout, on some number of
// threads.
func NewPass(n *Network, layout kernels.KVLayout, set *kernels.Set, threads int) *Pass {
	shape := n.Shape
	heads, group := shape.Heads+2*shape.KVHeads, shape.Heads/shape.KVHeads
	embedding := format.PaddedRows(shape.Embedding)
	p := &Pass{
		kernels: set, layout: layout, network: n, shape: shape,
		turns:     newTurns(n.rotary),
		own:       make([]float32, MaxRows*embedding),
		qkv:       make([]float32, MaxRows*format.PaddedRows(heads*shape.HeadWidth)),
		projected: make([]float32, MaxRows*embedding),
		threads:   make([]thread, threads),
	}
	if n.gated {
		p.gates = make([]float32, MaxRows*format.PaddedRows(2*shape.Hidden))
	}
	normalized, hidden := kernels.NewActivations(MaxRows, shape.Embedding), kernels.NewActivations(MaxRows, shape.Hidden)
	attention := kernels.NewActivations(MaxRows, shape.Heads*shape.HeadWidth)
	for i := range p.threads {
		p.threads[i] = thread{
			normalized: *normalized, attention: *attention, hidden: *hidden,
			private:  *kernels.NewActivations(privateRows, shape.Embedding),
			queries:  make([]float32, queryBlock*group*layout.Width),
			counts:   make([]int, queryBlock*group),
			attended: make([]float32, queryBlock*group*layout.Width),
			sums:     make([]float32, queryBlock*group),
		}
	}
	return p
}

// Begin sets what the next pass is over: at most MaxRows tokens. Logits will be written to logits, a row of padded
// vocabulary for each one that is wanted, in order.
func (p *Pass) Begin(segments []Segment, logits []float32) {
	p.segments, p.logits, p.residual = segments, logits, p.own
	p.all.clear()
	p.wanted.clear()
	row := 0
	for i, s := range segments {
		p.all.add(i, row, s.Position, len(s.Tokens))
		skipped := len(s.Tokens) - s.Logits
		p.wanted.add(i, row+skipped, s.Position+skipped, s.Logits)
		row += len(s.Tokens)
	}
	p.reserveScores(p.all.positions)
}

// BeginOn is Begin for a pass that Network.Embed or a Branch is driven with alone: it works on a residual stream of the
// caller's, [tokens, Stride], and there are no logits.
func (p *Pass) BeginOn(residual []float32, segments []Segment) {
	p.Begin(segments, nil)
	p.residual = residual
	p.turn(0, p.all.count)
}

// Stride is the distance of rows in a residual stream.
func (p *Pass) Stride() int { return format.PaddedRows(p.shape.Embedding) }

// reserveScores makes room for attention over that many positions.
func (p *Pass) reserveScores(positions int) {
	need := kernels.ScoreSpace(positions)
	if len(p.threads[0].scores) >= need {
		return
	}
	// Twice what is needed, so that a growing text asks seldom, but no more than a full context needs.
	size := max(need, min(2*need, kernels.ScoreSpace(p.shape.Context)))
	for i := range p.threads {
		p.threads[i].scores = make([]float32, size)
	}
}

func (q *plan) clear() { *q = plan{units: q.units[:0], short: true} }

// add plans consecutive rows of a sequence.
func (q *plan) add(segment, row, position, count int) {
	q.short = q.short && count <= queryBlock
	q.positions = max(q.positions, position+count)
	for first := 0; first < count; first += queryBlock {
		q.units = append(q.units, unit{segment, position + first, row + first, q.count + first, min(queryBlock, count-first)})
	}
	q.count += count
}

// active returns the number of rows in the residual stream.
func (p *Pass) active(w *pool.Worker) int {
	if p.threads[w.Index].narrowed {
		return p.wanted.count
	}
	return p.all.count
}

// narrow leaves in the residual stream only the rows whose logits are wanted. Each thread moves its share of the columns;
// the stream is complete after the next barrier.
func (p *Pass) narrow(w *pool.Worker) {
	stride := format.PaddedRows(p.shape.Embedding)
	first, last := w.Split(stride, format.PanelRows)
	for _, u := range p.wanted.units {
		if u.row == u.out {
			continue
		}
		for i := range u.count { // rows ascend, so none is overwritten before it is read
			copy(p.residual[(u.out+i)*stride+first:(u.out+i)*stride+last], p.residual[(u.row+i)*stride+first:])
		}
	}
	p.threads[w.Index].narrowed = true
}
