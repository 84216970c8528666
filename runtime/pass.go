package runtime

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

const (
	// chunkTokens is the largest number of tokens that go through the layers together. More would
	// not read the weights much less often, and the activations would leave the second-level cache.
	chunkTokens = 64
	// privateTokens is up to how many tokens every thread prepares the input of a matrix for itself:
	// normalizing a row twice costs less than meeting at a barrier.
	privateTokens = 3
	// queryBlock is the number of consecutive queries of one head that a thread takes at a time.
	queryBlock = 16
)

// pass is one trip of some tokens through the layers, and the memory it needs.
type pass struct {
	kernels *kernels.Set
	*workspace

	tokens []int32
	first  int            // position of tokens[0]
	heads  []kernels.Head // the session's cache, [layer, head]
	logits []float32      // rows of padded vocabulary: one per token, or one for the last token
	wanted bool           // logits are wanted at all: not from the first chunks of a long prompt
	all    bool           // of every token, not only of the last
}

// workspace is the activations' memory. It belongs to the model, since passes take turns.
type workspace struct {
	residual  []float32 // [chunk, embedding]
	combined  []float32 // [chunk, 3 embedding]: queries, keys, values
	attention []float32 // [chunk, heads, padded head]
	hidden    []float32 // [chunk, hidden]
	projected []float32 // [chunk, embedding]

	threads []threadspace
}

// threadspace is what every thread has for itself.
type threadspace struct {
	shared  kernels.Input // this thread's view of the one input that all share
	private *kernels.Input
	queries []float32 // [queryBlock, padded head], scaled
	scores  []float32
}

func newWorkspace(s Shape, threads int) *workspace {
	embedding, hidden, head := format.PaddedRows(s.Embedding), format.PaddedRows(s.Hidden), kernels.PaddedHead(s.HeadWidth)
	widest := max(s.Embedding, s.Hidden)
	space := &workspace{
		residual:  make([]float32, chunkTokens*embedding),
		combined:  make([]float32, chunkTokens*format.PaddedRows(3*s.Embedding)),
		attention: make([]float32, chunkTokens*s.Heads*head),
		hidden:    make([]float32, chunkTokens*hidden),
		projected: make([]float32, chunkTokens*embedding),
		threads:   make([]threadspace, threads),
	}
	shared := kernels.NewInput(chunkTokens, widest)
	for i := range space.threads {
		space.threads[i] = threadspace{
			shared:  *shared,
			private: kernels.NewInput(privateTokens, widest),
			queries: make([]float32, queryBlock*head),
			scores:  make([]float32, kernels.ScoreSpace(s.Context)),
		}
	}
	return space
}

// prepare returns the input of the matrix next: count rows of the given width that fill writes, and
// their int8 codes if the matrix wants them. All threads call it together.
func (p *pass) prepare(w *pool.Worker, next *linear, count int, fill func(t int, row []float32)) *kernels.Input {
	own := &p.threads[w.Index]
	in, first, last := own.private, 0, count
	if share := count > privateTokens || w.Count == 1; share {
		in = &own.shared
		first, last = w.Share(count, 1)
	}
	width := next.weights.Columns
	in.Resize(count, width)
	for t := first; t < last; t++ {
		row := in.Row(t)
		fill(t, row[:width])
		clear(row[width:])
	}
	if next.integer() {
		p.kernels.Quantize(in, first, last)
	}
	if in == &own.shared {
		w.Sync()
	}
	return in
}

// normalized prepares the layer norm of count rows of x, the first of which is row number from.
func (p *pass) normalized(w *pool.Worker, next *linear, x []float32, n *norm, from, count int) *kernels.Input {
	stride := format.PaddedRows(len(n.weight))
	return p.prepare(w, next, count, func(t int, row []float32) {
		p.kernels.LayerNorm(row, x[(from+t)*stride:][:len(row)], n.weight, n.bias, n.epsilon)
	})
}

// multiply computes this thread's share of out = l in and returns which columns of out it is.
func (p *pass) multiply(w *pool.Worker, out []float32, l *linear, in *kernels.Input) (first, last int) {
	unit := kernels.PanelTile
	if l.weights.Panels()%(unit*w.Count) != 0 { // a small matrix is shared more evenly in halves
		unit /= 2
	}
	firstPanel, lastPanel := w.Share(l.weights.Panels(), unit)
	p.kernels.MatMul(out, l.rows(), &l.weights, in, l.bias, firstPanel, lastPanel)
	return firstPanel * format.PanelRows, lastPanel * format.PanelRows
}

// multiplyAdd adds this thread's share of l in to the residual stream.
func (p *pass) multiplyAdd(w *pool.Worker, l *linear, in *kernels.Input) {
	first, last := p.multiply(w, p.projected, l, in)
	stride := l.rows()
	for t := range in.Tokens {
		p.kernels.Add(p.residual[t*stride+first:t*stride+last], p.projected[t*stride+first:t*stride+last])
	}
}
