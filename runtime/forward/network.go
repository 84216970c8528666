// Package forward computes the forward pass of decoders: rows of a batch in, logits out. The weights come from any
// source, a mapped file or a model that is being converted; keys and values go to pages that the caller provides.
//
// It opens no file, keeps no sequence and draws no token. Threads call it together and meet at barriers; what any of them
// computes never depends on how many they are or on which rows go through together.
//
// Start reading at Network.Forward, the pass from top to bottom, then branch.go.
package forward

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/kernels/pool"
)

// Shape is what the world outside of a pass must know of a network.
type Shape struct {
	Vocabulary int // tokens with a logit
	Context    int // positions that a sequence may have
	Embedding  int // width of the residual stream
	Layers     int
	Heads      int // query heads of a layer
	KVHeads    int // key and value heads of a layer, of which Heads is a multiple
	HeadWidth  int // dimensions of a head
	Hidden     int // width of the feed-forward block
}

// group is the number of query heads that share a KV head.
func (s *Shape) group() int { return s.Heads / s.KVHeads }

// Network is a decoder with its weights.
type Network struct {
	Shape
	TokenEmbedding panel.Matrix // [vocabulary, embedding]
	Positions      []float32    // embeddings [context, embedding], nil where attention knows the positions
	Layers         []Layer
	FinalNorm      Norm
	Head           Linear // [vocabulary, embedding], the token embedding itself where they are tied

	multiplier      float32  // of token embeddings; 0: none
	rotary          []rotary // that layers choose from
	gated           bool     // the feed-forward blocks are gated
	logitMultiplier float32  // 0: none
	logitCap        float32  // bound of the logits; 0: none

	// newLayer makes layer i, without weights.
	newLayer func(i int) Layer
}

// Layer is attention, then feed-forward.
type Layer struct {
	Attention, MLP Branch
}

// Forward takes the rows of a pass through the network. Every thread calls it at once; each computes its share of every
// matrix's rows and of the attention heads.
func (n *Network) Forward(w *pool.Worker, p *Pass) {
	n.Embed(w, p) // residual [rows, embedding]
	w.Barrier()
	for i := range n.Layers {
		n.Layers[i].Attention.Forward(w, p)
		n.Layers[i].MLP.Forward(w, p)
	}
	x := p.normalize(w, &n.FinalNorm, &n.Head) // [rows with logits, embedding]
	first, last := p.multiply(w, p.logits, n.Head.rows(), &n.Head, x, 1)
	n.finish(p, x.Tokens, first, last)
}

// finish scales and bounds columns first <= k < last of the logits.
func (n *Network) finish(p *Pass, rows, first, last int) {
	for t := range rows {
		logits := p.logits[t*n.Head.rows():][first:last]
		if n.logitMultiplier != 0 {
			p.kernels.Scale(logits, logits, n.logitMultiplier)
		}
		if n.logitCap != 0 {
			p.kernels.SoftCap(logits, n.logitCap)
		}
	}
}

// PositionsRead returns how many positions' keys and values one token reads in all layers, the last of so many positions.
func (n *Network) PositionsRead(positions int) (read int64) {
	for i := range n.Layers {
		seen := positions
		if window := n.Layers[i].Attention.mix.(*attention).window; window > 0 {
			seen = min(seen, window)
		}
		read += int64(seen)
	}
	return read
}

// Embed begins the residual stream: each thread writes its share of the columns of the token embeddings, with the position
// embeddings added where there are any. It computes the rotations of its share of the rows, too.
func (n *Network) Embed(w *pool.Worker, p *Pass) {
	p.threads[w.Index].narrowed = false
	stride := format.PaddedRows(n.Embedding)
	first, last := w.Split(n.Embedding, format.GroupColumns)
	row := 0
	for _, s := range p.segments {
		for i, token := range s.Tokens {
			x := p.residual[row*stride:][first:last]
			n.TokenEmbedding.PartOfRow(int(token), first, x)
			if n.multiplier != 0 {
				p.kernels.Scale(x, x, n.multiplier)
			}
			if n.Positions != nil {
				p.kernels.Add(x, n.Positions[(s.Position+i)*n.Embedding:][first:last])
			}
			row++
		}
	}
	p.turn(w.Split(p.all.count, 1))
}
