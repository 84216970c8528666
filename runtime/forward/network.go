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
	Context    int // positions
	Embedding  int // width of the residual stream
	Layers     int
	Heads      int // query heads of a layer
	KVHeads    int // key and value heads of a layer, of which Heads is a multiple
	HeadWidth  int // dimensions of a head
	Hidden     int // width of the feed-forward block
}

// Network is a decoder with its weights.
type Network struct {
	Shape
	TokenEmbedding panel.Matrix // [vocabulary, embedding]
	Positions      []float32    // embeddings [context, embedding], nil where positions are told to attention
	Layers         []Layer
	FinalNorm      Norm
	Head           Linear // [vocabulary, embedding], the token embedding itself where they are tied

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
	p.multiply(w, p.logits, n.Head.rows(), &n.Head, x)
}

// Embed begins the residual stream: each thread writes its share of the columns of the sums of token and position
// embeddings.
func (n *Network) Embed(w *pool.Worker, p *Pass) {
	p.threads[w.Index].narrowed = false
	stride := format.PaddedRows(n.Embedding)
	first, last := w.Split(n.Embedding, format.GroupColumns)
	row := 0
	for _, s := range p.segments {
		for i, token := range s.Tokens {
			x := p.residual[row*stride:][first:last]
			n.TokenEmbedding.PartOfRow(int(token), first, x)
			p.kernels.Add(x, n.Positions[(s.Position+i)*n.Embedding:][first:last])
			row++
		}
	}
}
