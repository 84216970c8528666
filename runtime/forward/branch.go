package forward

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

// Branch is one half of a layer. It adds to the residual stream what it makes of it:
//
//	residual += multiplier norm'(out(mix(in(norm(residual)))))
//
// where mix is attention, or the activation function of the feed-forward block, and either norm may be none.
type Branch struct {
	Norm       Norm
	In, Out    Linear
	OutputNorm Norm
	Multiplier float32 // 0: none
	mix        mixer
}

// mixer is what stands between the two matrices of a branch.
type mixer interface {
	// inputs returns where the outputs of the first matrix go, rows of the given stride, and how many panels of it a thread
	// has at least together.
	inputs(p *Pass, w *pool.Worker) (rows []float32, stride, together int)
	// mix makes of them the inputs of the second matrix out, complete once all threads are through.
	mix(w *pool.Worker, p *Pass, b *Branch) *kernels.Activations
}

// Forward takes the rows of a pass through the branch. Every thread calls it, or its steps one by one in this order, at
// once.
func (b *Branch) Forward(w *pool.Worker, p *Pass) {
	x := b.Normalize(w, p) // [rows, embedding]
	b.Multiply(w, p, x)    // queries, keys and values [rows, (heads + 2 KV heads) * width], or [rows, hidden], or [rows, 2 hidden]
	x = b.Mix(w, p)        // what the heads find [rows, heads * width], or [rows, hidden]
	b.Project(w, p, x)     // [rows, embedding]
	b.Add(w, p, x.Tokens)  // residual [rows, embedding]
}

// Normalize returns the normalized residual stream as the input of the first matrix.
func (b *Branch) Normalize(w *pool.Worker, p *Pass) *kernels.Activations {
	return p.normalize(w, &b.Norm, &b.In)
}

// Multiply computes this thread's share of the products with the first matrix. It returns these, rows of the given
// stride, and which of their columns are this thread's.
func (b *Branch) Multiply(w *pool.Worker, p *Pass, x *kernels.Activations) (y []float32, stride, first, last int) {
	y, stride, together := b.mix.inputs(p, w)
	first, last = p.multiply(w, y, stride, &b.In, x, together)
	own := &p.threads[w.Index]
	own.first, own.last = first, last
	return y, stride, first, last
}

// Mix returns the input of the second matrix, complete.
func (b *Branch) Mix(w *pool.Worker, p *Pass) *kernels.Activations {
	x := b.mix.mix(w, p, b)
	w.Barrier()
	return x
}

// Project computes this thread's share of the products with the second matrix. It returns these, rows of the given stride,
// and which of their columns are this thread's.
func (b *Branch) Project(w *pool.Worker, p *Pass, x *kernels.Activations) (y []float32, stride, first, last int) {
	first, last = p.multiply(w, p.projected, p.Stride(), &b.Out, x, 1)
	own := &p.threads[w.Index]
	own.first, own.last = first, last
	return p.projected, p.Stride(), first, last
}

// Add adds the products with the second matrix, normalized and scaled, to so many rows of the residual stream, which is
// complete then.
func (b *Branch) Add(w *pool.Worker, p *Pass, rows int) {
	first, last := p.threads[w.Index].first, p.threads[w.Index].last
	firstRow, lastRow := 0, rows
	if b.OutputNorm.Kind != NoNorm {
		w.Barrier() // the rows are complete
		first, last = 0, p.shape.Embedding
		firstRow, lastRow = w.Split(rows, 1)
	}
	for t := firstRow; t < lastRow; t++ {
		y := p.projected[t*p.Stride()+first : t*p.Stride()+last]
		if b.OutputNorm.Kind != NoNorm {
			b.OutputNorm.apply(p.kernels, y, 0, y, 0, 1, len(y))
		}
		if b.Multiplier != 0 {
			p.kernels.Scale(y, y, b.Multiplier)
		}
		p.kernels.Add(p.residual[t*p.Stride()+first:t*p.Stride()+last], y)
	}
	w.Barrier()
}

// activation is the function between the matrices of the feed-forward block.
type activation struct {
	hidden   int
	function kernels.ActivationFunction
}

// inputs keeps groups together, because each thread quantizes what it has computed.
func (a *activation) inputs(p *Pass, w *pool.Worker) ([]float32, int, int) {
	x := &p.threads[w.Index].hidden
	x.Resize(p.active(w), a.hidden)
	return x.Values, x.Columns, format.GroupColumns / format.PanelRows
}

// mix lets each thread finish the columns that it has computed.
func (a *activation) mix(w *pool.Worker, p *Pass, b *Branch) *kernels.Activations {
	own := &p.threads[w.Index]
	x := &own.hidden
	for t := range x.Tokens {
		p.kernels.Activate(a.function, x.Row(t)[own.first:own.last])
	}
	if b.Out.integer() {
		p.kernels.QuantizeColumns(x, own.first, own.last)
	}
	return x
}

// gate is what stands between the matrices of a gated feed-forward block: the function of one half of what the first gives
// times the other half.
type gate struct {
	hidden   int
	function kernels.ActivationFunction
}

func (g *gate) inputs(p *Pass, _ *pool.Worker) ([]float32, int, int) { return p.gates, g.stride(), 1 }

// stride is the length of a row of gates and what they let through.
func (g *gate) stride() int { return format.PaddedRows(2 * g.hidden) }

func (g *gate) mix(w *pool.Worker, p *Pass, b *Branch) *kernels.Activations {
	w.Barrier() // a gate and what it lets through come from different threads
	x := &p.threads[w.Index].hidden
	x.Resize(p.active(w), g.hidden)
	first, last := w.Split(g.hidden, format.GroupColumns)
	for t := range x.Tokens {
		row, y := p.gates[t*g.stride():], x.Row(t)[first:last]
		copy(y, row[first:last])
		p.kernels.Gate(g.function, y, row[g.hidden+first:g.hidden+last])
	}
	if b.Out.integer() {
		p.kernels.QuantizeColumns(x, first, last)
	}
	return x
}

// normalize returns the norms of the active rows of the residual stream as the input of the matrix next: with int8
// codes if that wants them. All threads call it together.
func (p *Pass) normalize(w *pool.Worker, n *Norm, next *Linear) *kernels.Activations {
	own, count := &p.threads[w.Index], p.active(w)
	x, first, last := &own.private, 0, count
	if count > privateRows || w.Count == 1 {
		x = &own.normalized
		first, last = w.Split(count, 1)
	}
	x.Resize(count, next.Weights.Columns)
	if first < last {
		n.apply(p.kernels, x.Values[first*x.Columns:], x.Columns, p.residual[first*p.Stride():], p.Stride(), last-first, p.shape.Embedding)
	}
	if next.integer() {
		p.kernels.Quantize(x, first, last)
	}
	if x == &own.normalized {
		w.Barrier()
	}
	return x
}

// multiply computes this thread's share of out = l x, rows of the given stride, and returns which columns of out it is: whole
// panels, at least so many together as far as there are any.
func (p *Pass) multiply(w *pool.Worker, out []float32, stride int, l *Linear, x *kernels.Activations, together int) (first, last int) {
	panels, unit := l.Weights.Panels(), kernels.PanelTile
	for unit > together && panels%(unit*w.Count) != 0 { // a small matrix is split more evenly in halves
		unit /= 2
	}
	first, last = w.Split(panels, unit)
	p.kernels.MatMul(out, stride, &l.Weights, x, l.Bias, first, last)
	return first * format.PanelRows, last * format.PanelRows
}
