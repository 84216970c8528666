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
	// privateTokens is up to how many tokens every thread normalizes the input of a matrix for itself: a row
	// more costs less than meeting at a barrier.
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

// firstWanted returns the number of the first token whose logits are wanted, that of all if none are.
func (p *pass) firstWanted() int {
	switch {
	case p.all:
		return 0
	case p.wanted:
		return len(p.tokens) - 1
	}
	return len(p.tokens)
}

// workspace is the activations' memory. It belongs to the model, since passes take turns.
type workspace struct {
	residual  []float32 // [chunk, embedding]
	combined  []float32 // [chunk, 3 embedding]: queries, keys, values
	projected []float32 // [chunk, embedding]

	threads []threadspace
}

// threadspace is what every thread has for itself.
type threadspace struct {
	// Views of the inputs of matrices that all threads share.
	normalized kernels.Input // [chunk, embedding]
	attention  kernels.Input // [chunk, embedding]
	hidden     kernels.Input // [chunk, hidden]

	private  *kernels.Input // [privateTokens, embedding]
	queries  []float32      // [queryBlock, padded head], scaled
	attended []float32      // [queryBlock, padded head]
	scores   []float32
}

func newWorkspace(s Shape, threads int) *workspace {
	embedding, head := format.PaddedRows(s.Embedding), kernels.PaddedHead(s.HeadWidth)
	space := &workspace{
		residual:  make([]float32, chunkTokens*embedding),
		combined:  make([]float32, chunkTokens*format.PaddedRows(3*s.Embedding)),
		projected: make([]float32, chunkTokens*embedding),
		threads:   make([]threadspace, threads),
	}
	normalized, attention := kernels.NewInput(chunkTokens, s.Embedding), kernels.NewInput(chunkTokens, s.Embedding)
	hidden := kernels.NewInput(chunkTokens, s.Hidden)
	for i := range space.threads {
		space.threads[i] = threadspace{
			normalized: *normalized, attention: *attention, hidden: *hidden,
			private:  kernels.NewInput(privateTokens, s.Embedding),
			queries:  make([]float32, queryBlock*head),
			attended: make([]float32, queryBlock*head),
			scores:   make([]float32, kernels.ScoreSpace(s.Context)),
		}
	}
	return space
}

// normalized returns the layer norm of count rows of x, the first of which is row number from, as the
// input of the matrix next: with int8 codes if that wants them. All threads call it together.
func (p *pass) normalized(w *pool.Worker, next *linear, x []float32, n *norm, from, count int) *kernels.Input {
	own := &p.threads[w.Index]
	in, first, last := own.private, 0, count
	if share := count > privateTokens || w.Count == 1; share {
		in = &own.normalized
		first, last = w.Share(count, 1)
	}
	in.Resize(count, next.weights.Columns)
	stride := format.PaddedRows(len(n.weight))
	if first < last {
		p.kernels.LayerNorm(in.Values[first*in.Columns:], in.Columns, x[(from+first)*stride:], stride, last-first, n.weight, n.bias, n.epsilon)
	}
	if next.integer() {
		p.kernels.Quantize(in, first, last)
	}
	if in == &own.normalized {
		w.Sync()
	}
	return in
}

// multiply computes this thread's share of out = l in, rows of the given stride, and returns which columns
// of out it is: of whole groups, as far as out has them.
func (p *pass) multiply(w *pool.Worker, out []float32, stride int, l *linear, in *kernels.Input) (first, last int) {
	unit := kernels.PanelTile
	if l.weights.Panels()%(unit*w.Count) != 0 { // a small matrix is shared more evenly in halves
		unit /= 2
	}
	firstPanel, lastPanel := w.Share(l.weights.Panels(), unit)
	p.kernels.MatMul(out, stride, &l.weights, in, l.bias, firstPanel, lastPanel)
	return firstPanel * format.PanelRows, lastPanel * format.PanelRows
}

// multiplyAdd adds this thread's share of l in to the residual stream of the tokens from number from on.
func (p *pass) multiplyAdd(w *pool.Worker, l *linear, in *kernels.Input, from int) {
	stride := l.rows()
	first, last := p.multiply(w, p.projected, stride, l, in)
	residual := p.residual[from*stride:]
	for t := range in.Tokens {
		p.kernels.Add(residual[t*stride+first:t*stride+last], p.projected[t*stride+first:t*stride+last])
	}
}
