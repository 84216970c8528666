package runtime

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/strictjson"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
)

// gpt2 is the decoder of A. Radford et al., "Language Models are Unsupervised Multitask Learners"
// (2019). Tensors have HuggingFace's names.
type gpt2 struct {
	gpt2Parameters
	tokenEmbedding panel.Matrix // [vocabulary, embedding]
	positions      []float32    // [context, embedding]
	layers         []gpt2Layer
	finalNorm      norm
	head           linear // [vocabulary, embedding], the token embedding itself where they are tied
	activation     kernels.Activation
}

type gpt2Layer struct {
	attentionNorm norm
	combined      linear // [3 embedding, embedding]: queries, keys, values
	output        linear // [embedding, embedding]
	hiddenNorm    norm
	expand        linear  // [hidden, embedding]
	contract      linear  // [embedding, hidden]
	scale         float32 // of attention scores
}

// gpt2Parameters is the hyperparameters object of the meta section.
type gpt2Parameters struct {
	Vocabulary     int     `json:"vocab_size"`
	Context        int     `json:"n_ctx"`
	Embedding      int     `json:"n_embd"`
	Layers         int     `json:"n_layer"`
	Heads          int     `json:"n_head"`
	Hidden         int     `json:"n_inner"`
	Activation     string  `json:"activation"`
	Epsilon        float64 `json:"layer_norm_epsilon"`
	Scale          bool    `json:"scale_attn_weights"`
	ScaleByLayer   bool    `json:"scale_attn_by_inverse_layer_idx"`
	Tied           bool    `json:"tied_head"`
	EndOfTextToken *int32  `json:"eos_token_id"`
	BeginningToken *int32  `json:"bos_token_id"`
}

func (h *gpt2Parameters) validate() error {
	for name, value := range map[string]int{"vocab_size": h.Vocabulary, "n_ctx": h.Context, "n_embd": h.Embedding,
		"n_layer": h.Layers, "n_head": h.Heads, "n_inner": h.Hidden} {
		if value < 1 || value > math.MaxInt32 {
			return fmt.Errorf("hyperparameter %s is %d", name, value)
		}
	}
	if h.Embedding%h.Heads != 0 {
		return fmt.Errorf("n_embd %d is not a multiple of n_head %d", h.Embedding, h.Heads)
	}
	if _, ok := activations[h.Activation]; !ok {
		return fmt.Errorf("%w: activation %.60q", format.ErrUnsupported, h.Activation)
	}
	return nil
}

func openGPT2(file *format.File, hyperparameters json.RawMessage) (architecture, error) {
	g := &gpt2{}
	if err := strictjson.Unmarshal(hyperparameters, &g.gpt2Parameters); err != nil {
		return nil, fmt.Errorf("hyperparameters: %w", err)
	}
	if err := g.validate(); err != nil {
		return nil, err
	}
	// A layer needs sections, so the file bounds how many there can be.
	if g.Layers > len(file.Sections()) {
		return nil, fmt.Errorf("n_layer %d in a file of %d sections", g.Layers, len(file.Sections()))
	}
	t := &tensors{file: file}
	embedding, epsilon := g.Embedding, float32(g.Epsilon)
	g.activation = activations[g.Activation]
	g.tokenEmbedding = t.matrix("wte.weight", g.Vocabulary, embedding)
	g.positions = t.values("wpe.weight", g.Context, embedding)
	for i := range g.Layers {
		name := fmt.Sprintf("h.%d.", i)
		g.layers = append(g.layers, gpt2Layer{
			attentionNorm: t.norm(name+"ln_1", embedding, epsilon),
			combined:      t.linear(name+"attn.c_attn", 3*embedding, embedding),
			output:        t.linear(name+"attn.c_proj", embedding, embedding),
			hiddenNorm:    t.norm(name+"ln_2", embedding, epsilon),
			expand:        t.linear(name+"mlp.c_fc", g.Hidden, embedding),
			contract:      t.linear(name+"mlp.c_proj", embedding, g.Hidden),
			scale:         g.scale(i),
		})
	}
	g.finalNorm = t.norm("ln_f", embedding, epsilon)
	g.head = linear{weights: g.tokenEmbedding}
	if !g.Tied {
		g.head.weights = t.matrix("lm_head.weight", g.Vocabulary, embedding)
	}
	if t.err != nil {
		return nil, t.err
	}
	g.head.bias = make([]float32, g.head.rows())
	return g, nil
}

// scale returns what the attention scores of a layer are multiplied with.
func (g *gpt2) scale(layer int) float32 {
	scale := 1.0
	if g.Scale {
		scale /= math.Sqrt(float64(g.Embedding / g.Heads))
	}
	if g.ScaleByLayer {
		scale /= float64(layer + 1)
	}
	return float32(scale)
}

func (g *gpt2) shape() Shape {
	id := func(token *int32) int32 {
		if token == nil || *token < 0 || int(*token) >= g.Vocabulary {
			return -1
		}
		return *token
	}
	return Shape{
		Vocabulary: g.Vocabulary, Context: g.Context, Embedding: g.Embedding, Layers: g.Layers, Heads: g.Heads,
		HeadWidth: g.Embedding / g.Heads, Hidden: g.Hidden, EndOfText: id(g.EndOfTextToken), Beginning: id(g.BeginningToken),
	}
}

func (g *gpt2) matrices() []string {
	var names []string
	for i := range g.layers {
		for _, name := range []string{"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"} {
			names = append(names, fmt.Sprintf("h.%d.%s.weight", i, name))
		}
	}
	if g.Tied {
		return append(names, "wte.weight")
	}
	return append(names, "lm_head.weight")
}

// forward is run by all threads of the pool at once. Each computes its share of every matrix's
// rows and of the attention heads; Sync separates what one writes from what another reads.
func (g *gpt2) forward(w *pool.Worker, p *pass) {
	count, from := len(p.tokens), 0

	g.embed(w, p) // residual [count, embedding]
	w.Sync()
	for i := range g.layers {
		l := &g.layers[i]

		in := p.normalized(w, &l.combined, p.residual, &l.attentionNorm, 0, count)
		p.multiply(w, p.combined, l.combined.rows(), &l.combined, in) // [count, 3 embedding]
		w.Sync()
		g.store(w, p, i)
		if i == len(g.layers)-1 { // of the others only keys and values will be looked at
			if from = p.firstWanted(); from == count {
				return
			}
		}
		in = g.attend(w, p, i, from) // [count-from, embedding]
		w.Sync()
		p.multiplyAdd(w, &l.output, in, from) // residual +=
		w.Sync()

		in = p.normalized(w, &l.expand, p.residual, &l.hiddenNorm, from, count-from)
		in = g.expand(w, p, l, in) // [count-from, hidden]
		w.Sync()
		p.multiplyAdd(w, &l.contract, in, from) // residual +=
		w.Sync()
	}
	in := p.normalized(w, &g.head, p.residual, &g.finalNorm, from, count-from)
	p.multiply(w, p.logits, g.head.rows(), &g.head, in) // [count-from, vocabulary]
}

// embed writes this thread's share of the columns of the sums of token and position embeddings.
func (g *gpt2) embed(w *pool.Worker, p *pass) {
	stride := format.PaddedRows(g.Embedding)
	first, last := w.Share(g.Embedding, format.GroupColumns)
	for t, token := range p.tokens {
		x := p.residual[t*stride:][first:last]
		g.tokenEmbedding.PartOfRow(int(token), first, x)
		p.kernels.Add(x, g.positions[(p.first+t)*g.Embedding:][first:last])
	}
}

// store writes the keys and values of the new tokens to the cache, each thread those of its heads.
func (g *gpt2) store(w *pool.Worker, p *pass, layer int) {
	heads, stride, width := p.heads[layer*g.Heads:], g.layers[layer].combined.rows(), g.Embedding/g.Heads
	first, last := w.Share(g.Heads, 1)
	for h := first; h < last; h++ {
		for t := range p.tokens {
			keys := p.combined[t*stride+g.Embedding+h*width:]
			p.kernels.Store(&heads[h], p.first+t, keys[:width], keys[g.Embedding:][:width])
		}
	}
}

// attend runs causal attention of the queries from number from on over everything up to their own position, after
// store. A thread has heads of its own; where there are several blocks of queries, the blocks of all heads are dealt
// out in turn, because later queries see more positions and cost more. It returns what all heads found, complete
// once all threads are through.
func (g *gpt2) attend(w *pool.Worker, p *pass, layer, from int) *kernels.Input {
	l, count, width := &g.layers[layer], len(p.tokens)-from, g.Embedding/g.Heads
	firstHead, lastHead := w.Share(g.Heads, 1)
	out := &p.threads[w.Index].attention
	out.Resize(count, g.Embedding)
	blocks := (count + queryBlock - 1) / queryBlock
	if blocks == 1 { // a head's only reader is the thread that stored it
		for h := firstHead; h < lastHead; h++ {
			g.attendBlock(w, p, layer, h, from, out.Values)
		}
	} else {
		w.Sync()
		for unit := w.Index; unit < g.Heads*blocks; unit += w.Count {
			block := unit / g.Heads * queryBlock
			g.attendBlock(w, p, layer, unit%g.Heads, from+block, out.Values[block*out.Columns:])
		}
	}
	switch {
	case !l.output.integer():
	case blocks == 1 && width%format.GroupColumns == 0:
		p.kernels.QuantizeColumns(out, firstHead*width, lastHead*width)
	default: // what belongs to a group comes from several threads
		w.Sync()
		first, last := w.Share(count, 1)
		p.kernels.Quantize(out, first, last)
	}
	return out
}

// attendBlock writes what a head finds for a block of queries, from number from on, to its columns of the rows of
// out.
func (g *gpt2) attendBlock(w *pool.Worker, p *pass, layer, h, from int, out []float32) {
	l, cache, own := &g.layers[layer], &p.heads[layer*g.Heads+h], &p.threads[w.Index]
	width, head := g.Embedding/g.Heads, cache.Dimensions
	queries := min(queryBlock, len(p.tokens)-from)
	for t := range queries {
		query := own.queries[t*head:][:head]
		p.kernels.Scale(query, p.combined[(from+t)*l.combined.rows()+h*width:][:width], l.scale)
		clear(query[width:])
	}
	p.kernels.Attend(own.attended, head, own.queries, cache, p.first+from, queries, own.scores)
	for t := range queries {
		copy(out[t*own.attention.Columns+h*width:][:width], own.attended[t*head:])
	}
}

// expand returns the hidden activations, complete once all threads are through. Each finishes the
// columns that it has computed.
func (g *gpt2) expand(w *pool.Worker, p *pass, l *gpt2Layer, in *kernels.Input) *kernels.Input {
	out := &p.threads[w.Index].hidden
	out.Resize(in.Tokens, g.Hidden)
	first, last := p.multiply(w, out.Values, out.Columns, &l.expand, in)
	for t := range out.Tokens {
		p.kernels.Activate(g.activation, out.Row(t)[first:last])
	}
	if l.contract.integer() {
		p.kernels.QuantizeColumns(out, first, last)
	}
	return out
}
