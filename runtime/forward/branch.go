package forward

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

// Branch is one half of a layer. It adds to the residual stream what it makes of it:
//
//	residual += out(mix(in(norm(residual))))
//
// where mix is attention, or the activation function of the feed-forward block.
type Branch struct {
	Norm    Norm
	In, Out Linear
	mix     mixer
}

// mixer is what stands between the two matrices of a branch.
type mixer interface {
	// inputs returns where the outputs of the first matrix go, rows of the given stride.
	inputs(p *Pass, w *pool.Worker) (rows []float32, stride int)
	// mix makes of them the inputs of the second matrix out, complete once all threads are through.
	mix(w *pool.Worker, p *Pass, b *Branch) *kernels.Activations
}

// Forward takes the rows of a pass through the branch. Every thread calls it, or its steps one by one in this order, at
// once.
func (b *Branch) Forward(w *pool.Worker, p *Pass) {
	x := b.Normalize(w, p) // [rows, embedding]
	b.Multiply(w, p, x)    // queries, keys and values [rows, (heads + 2 KV heads) * width], or [rows, hidden]
	x = b.Mix(w, p)        // what the heads find [rows, heads * width], or [rows, hidden]
	b.Add(w, p, x)         // residual [rows, embedding]
}

// Normalize returns the normalized residual stream as the input of the first matrix.
func (b *Branch) Normalize(w *pool.Worker, p *Pass) *kernels.Activations {
	return p.normalize(w, &b.Norm, &b.In)
}

// Multiply computes this thread's share of the products with the first matrix. It returns these, rows of the given
// stride, and which of their columns are this thread's.
func (b *Branch) Multiply(w *pool.Worker, p *Pass, x *kernels.Activations) (y []float32, stride, first, last int) {
	y, stride = b.mix.inputs(p, w)
	first, last = p.multiply(w, y, stride, &b.In, x)
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

// Add adds the products with the second matrix to the residual stream, which is complete then.
func (b *Branch) Add(w *pool.Worker, p *Pass, x *kernels.Activations) {
	stride := b.Out.rows()
	first, last := p.multiply(w, p.projected, stride, &b.Out, x)
	for t := range x.Tokens {
		p.kernels.Add(p.residual[t*stride+first:t*stride+last], p.projected[t*stride+first:t*stride+last])
	}
	w.Barrier()
}

// activation is the function between the matrices of the feed-forward block.
type activation struct {
	hidden   int
	function kernels.ActivationFunction
}

func (a *activation) inputs(p *Pass, w *pool.Worker) ([]float32, int) {
	x := &p.threads[w.Index].hidden
	x.Resize(p.active(w), a.hidden)
	return x.Values, x.Columns
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

// normalize returns the layer norms of the active rows of the residual stream as the input of the matrix next: with int8
// codes if that wants them. All threads call it together.
func (p *Pass) normalize(w *pool.Worker, n *Norm, next *Linear) *kernels.Activations {
	own, count := &p.threads[w.Index], p.active(w)
	x, first, last := &own.private, 0, count
	if count > privateRows || w.Count == 1 {
		x = &own.normalized
		first, last = w.Split(count, 1)
	}
	x.Resize(count, next.Weights.Columns)
	stride := format.PaddedRows(len(n.Weight))
	if first < last {
		p.kernels.LayerNorm(x.Values[first*x.Columns:], x.Columns, p.residual[first*stride:], stride, last-first, n.Weight, n.Bias, n.Epsilon)
	}
	if next.integer() {
		p.kernels.Quantize(x, first, last)
	}
	if x == &own.normalized {
		w.Barrier()
	}
	return x
}

// multiply computes this thread's share of out = l x, rows of the given stride, and returns which columns of out it is: of
// whole groups, as far as there are any.
func (p *Pass) multiply(w *pool.Worker, out []float32, stride int, l *Linear, x *kernels.Activations) (first, last int) {
	panels, unit := l.Weights.Panels(), kernels.PanelTile
	if panels%(unit*w.Count) != 0 { // a small matrix is split more evenly in halves
		unit /= 2
	}
	first, last = w.Split(panels, unit)
	p.kernels.MatMul(out, stride, &l.Weights, x, l.Bias, first, last)
	return first * format.PanelRows, last * format.PanelRows
}
