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
	queries  kernels.Queries // of a unit
	attended []float32       // what they find, [queries, padded width]
	scores   []float32
	sums     []float32

	_ [64]byte // to the next cache line, whatever the alignment
}

// NewPass returns a pass for a network, or layers of it that are driven alone, and caches of the layout, on some number of
// threads.
func NewPass(n *Network, layout kernels.KVLayout, set *kernels.Set, threads int) *Pass {
	shape := n.Shape
	heads, group := shape.Heads+2*shape.KVHeads, shape.group()
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
	queries := max(queryBlock*group, kernels.AttendRows) // of a unit
	for i := range p.threads {
		p.threads[i] = thread{
			normalized: *normalized, attention: *attention, hidden: *hidden,
			private:  *kernels.NewActivations(privateRows, shape.Embedding),
			queries:  kernels.Queries{Rows: make([]float32, queries*layout.Width), Counts: make([]int, queries)},
			attended: make([]float32, queries*layout.Width),
			sums:     make([]float32, kernels.AttendRows),
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
	p.join(&p.all)
	p.join(&p.wanted)
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
	row, out := 0, 0
	for _, s := range p.segments {
		row += len(s.Tokens) - s.Logits
		for range s.Logits { // rows ascend, so none is overwritten before it is read
			if row != out {
				copy(p.residual[out*stride+first:out*stride+last], p.residual[row*stride+first:])
			}
			row, out = row+1, out+1
		}
	}
	p.threads[w.Index].narrowed = true
}
