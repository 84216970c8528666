package convert

import (
	"context"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
	"github.com/tti-llm/tti/runtime/forward"
	"github.com/tti-llm/tti/runtime/kv"
)

// calibrationWalk goes through a model and rounds one matrix after the other. It drives the runtime's own forward pass,
// branch by branch, over all windows of the text and with two models: as it was, and as it will be, with all earlier
// matrices rounded. The inputs of a matrix are those of the model as it will be; its target is what the original model
// has in its place, so that later matrices make up for the errors of earlier ones.
type calibrationWalk struct {
	*calibration
	hyperparameters architecture.Hyperparameters
	network         *forward.Network // what is not in layers
	head            architecture.Tensor
	threads         *pool.Pool

	before, after calibrationStream
}

// calibrationStream is one of the two models: its pass, and its residual stream between branches.
type calibrationStream struct {
	pass     *forward.Pass
	pages    *kv.Pool
	residual []float32 // [tokens, stride of the pass]
}

// walk rounds the matrices in the order in which they are used. Only a tied head comes first, for the inputs that the
// original model has: it is the embedding that all begins with.
func (c *calibration) walk(ctx context.Context) error {
	w, err := c.newWalk(ctx)
	if err != nil {
		return err
	}
	defer w.threads.Close()

	if err := w.embed(ctx, &w.before); err != nil {
		return err
	}
	if w.hyperparameters.Tied() {
		head, err := w.tiedHead(ctx)
		if err != nil {
			return err
		}
		if err := w.embed(ctx, &w.before); err != nil {
			return err
		}
		w.network.TokenEmbedding = head.weights
	} else if w.network.TokenEmbedding, err = w.encoded(ctx, w.tensor(architecture.TokenEmbedding, -1), c.encodings[embedding]); err != nil {
		return err
	}
	if err := w.embed(ctx, &w.after); err != nil {
		return err
	}
	// Layers need neither, and in float32 they may be larger than all else: 1 GB of Llama 3.2 1B.
	w.network.TokenEmbedding, w.network.Head = panel.Matrix{}, forward.Linear{}
	for i := range w.network.Shape.Layers {
		if err := w.roundLayer(ctx, i); err != nil {
			return err
		}
	}
	if w.hyperparameters.Tied() {
		return nil
	}
	_, err = w.roundHead(ctx, &w.after)
	return err
}

func (c *calibration) newWalk(ctx context.Context) (w *calibrationWalk, err error) {
	w = &calibrationWalk{calibration: c, hyperparameters: c.plan.hyperparameters}
	if w.network, err = forward.New(w.hyperparameters, 0); err != nil {
		return nil, err
	}
	if err := w.network.LoadOuter(w.hyperparameters, original{c, ctx}); err != nil {
		return nil, err
	}
	w.head = w.tensor(architecture.Head, -1)
	if w.hyperparameters.Tied() {
		w.head = w.tensor(architecture.TokenEmbedding, -1)
	}
	workers := parallel.Workers(c.workers)
	w.threads = pool.New(workers)
	for stream, encoding := range map[*calibrationStream]kernels.KVEncoding{&w.before: kernels.KVF32, &w.after: kernels.KVF16} {
		shape := w.network.Shape
		layout := kernels.NewKVLayout(encoding, 1, shape.KVHeads, shape.HeadWidth, kv.PagePositions(encoding, shape.HeadWidth))
		stream.pass = forward.NewPass(w.network, layout, c.kernels, workers)
		if stream.pages, err = kv.NewPool(layout, 0); err != nil {
			return nil, err
		}
		stream.residual = make([]float32, len(c.tokens)*stream.pass.Stride())
	}
	return w, nil
}

// tensor returns the weight that has a role in a layer.
func (w *calibrationWalk) tensor(role architecture.Role, layer int) architecture.Tensor {
	for t := range w.hyperparameters.Tensors() {
		if t.Role == role && t.Layer == layer && !t.Bias {
			return t
		}
	}
	return architecture.Tensor{}
}

// windows calls f for consecutive pieces of the text, at most a context and CalibrationWindow long, each of which starts afresh.
func (w *calibrationWalk) windows(f func(first, count int) error) error {
	length := min(w.network.Context, CalibrationWindow)
	for first := 0; first < len(w.tokens); first += length {
		if err := f(first, min(length, len(w.tokens)-first)); err != nil {
			return err
		}
	}
	return nil
}

// run calls task on all threads for one pass of the stream after the other, which together are over a window of the
// text. row is the place of the pass in the window.
func (w *calibrationWalk) run(ctx context.Context, s *calibrationStream, first, count int, task func(worker *pool.Worker, row int)) error {
	sequence := s.pages.NewSequence()
	defer sequence.Close()
	if err := sequence.Reserve(0, count); err != nil {
		return err
	}
	for row := 0; row < count; row += forward.MaxRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, from := min(forward.MaxRows, count-row), first+row
		s.pass.BeginOn(s.residual[from*s.pass.Stride():], []forward.Segment{{
			Pages: sequence.Pages(), Position: row, Tokens: w.tokens[from : from+rows], Logits: rows,
		}})
		if err := w.threads.Run(func(worker *pool.Worker) { task(worker, row) }); err != nil {
			return err
		}
	}
	return nil
}

// embed begins a residual stream.
func (w *calibrationWalk) embed(ctx context.Context, s *calibrationStream) error {
	return w.windows(func(first, count int) error {
		return w.run(ctx, s, first, count, func(worker *pool.Worker, _ int) { w.network.Embed(worker, s.pass) })
	})
}

// advance takes a residual stream past a branch.
func (w *calibrationWalk) advance(ctx context.Context, s *calibrationStream, b *forward.Branch) error {
	return w.windows(func(first, count int) error {
		return w.run(ctx, s, first, count, func(worker *pool.Worker, _ int) { b.Forward(worker, s.pass) })
	})
}

// tiedHead runs the original model to its end and rounds the head for what arrives there.
func (w *calibrationWalk) tiedHead(ctx context.Context) (rounded, error) {
	for i := range w.network.Shape.Layers {
		layer, err := forward.LoadLayer(w.hyperparameters, i, original{w.calibration, ctx})
		if err != nil {
			return rounded{}, err
		}
		for _, branch := range []*forward.Branch{&layer.Attention, &layer.MLP} {
			if err := w.advance(ctx, &w.before, branch); err != nil {
				return rounded{}, err
			}
		}
	}
	return w.roundHead(ctx, &w.before)
}

// roundHead rounds the output head for the residual stream behind the last layer. It has no targets: a
// head has no bias to take the mean, and one for every token would be large.
func (w *calibrationWalk) roundHead(ctx context.Context, s *calibrationStream) (rounded, error) {
	end := &forward.Branch{Norm: w.network.FinalNorm, In: forward.Linear{Weights: panel.Matrix{Columns: w.network.Embedding}}}
	m := newMoments(format.PaddedColumns(w.network.Embedding), 0)
	err := w.windows(func(first, count int) error {
		x := kernels.NewActivations(count, w.network.Embedding)
		err := w.run(ctx, s, first, count, func(worker *pool.Worker, row int) {
			w.see(worker, end.Normalize(worker, s.pass), x, row)
		})
		if err != nil {
			return err
		}
		return m.add(ctx, w.calibration, x, nil)
	})
	if err != nil {
		return rounded{}, err
	}
	return w.round(ctx, w.head, m)
}

// see quantizes the inputs x of a matrix and copies them to the rows of a window, from number row on: each thread its
// share. All threads must be through with them.
func (w *calibrationWalk) see(worker *pool.Worker, x, window *kernels.Activations, row int) {
	first, last := worker.Split(x.Tokens, 1)
	w.kernels.Quantize(x, first, last)
	window.CopyCodes(row+first, x, first, last)
}

// roundLayer rounds the matrices of a layer and takes both residual streams past it.
func (w *calibrationWalk) roundLayer(ctx context.Context, i int) error {
	before, err := forward.LoadLayer(w.hyperparameters, i, original{w.calibration, ctx})
	if err != nil {
		return err
	}
	after := *before
	if err := w.roundBranch(ctx, &before.Attention, &after.Attention, w.tensor(architecture.QKV, i), w.tensor(architecture.AttentionOutput, i)); err != nil {
		return err
	}
	return w.roundBranch(ctx, &before.MLP, &after.MLP, w.tensor(architecture.Up, i), w.tensor(architecture.Down, i))
}

// roundBranch rounds both matrices of a branch, sets them in after, and takes both residual streams past it.
func (w *calibrationWalk) roundBranch(ctx context.Context, before, after *forward.Branch, in, out architecture.Tensor) error {
	// The first matrix should give what it gave in the original model. That goes on to the end of the branch here. Behind the
	// second matrix a norm hides how far the residual stream still has to go: then it, too, should give what it gave.
	normed := before.OutputNorm.Kind != forward.NoNorm
	var projected []float32 // [tokens, rows of the second matrix]
	if normed {
		projected = make([]float32, len(w.tokens)*out.Shape[0])
	}
	m := newMoments(format.PaddedColumns(in.Shape[1]), format.PaddedRows(in.Shape[0]))
	err := w.windows(func(first, count int) error {
		targets, x := make([]float32, count*m.outputs), kernels.NewActivations(count, in.Shape[1])
		err := w.run(ctx, &w.before, first, count, func(worker *pool.Worker, row int) {
			x := before.Normalize(worker, w.before.pass)
			y, stride, from, to := before.Multiply(worker, w.before.pass, x)
			for t := range x.Tokens {
				copy(targets[(row+t)*m.outputs+from:(row+t)*m.outputs+to], y[t*stride+from:])
			}
			x = before.Mix(worker, w.before.pass)
			y, stride, from, to = before.Project(worker, w.before.pass, x)
			for t := range x.Tokens {
				if to := min(to, out.Shape[0]); normed && from < to {
					copy(projected[(first+row+t)*out.Shape[0]+from:(first+row+t)*out.Shape[0]+to], y[t*stride+from:])
				}
			}
			before.Add(worker, w.before.pass, x.Tokens)
		})
		if err != nil {
			return err
		}
		err = w.run(ctx, &w.after, first, count, func(worker *pool.Worker, row int) {
			w.see(worker, after.Normalize(worker, w.after.pass), x, row)
		})
		if err != nil {
			return err
		}
		return m.add(ctx, w.calibration, x, targets)
	})
	if err != nil {
		return err
	}
	if err := w.replace(ctx, &after.In, in, m); err != nil {
		return err
	}
	// The second should give what takes the residual stream to where the original's is.
	m = newMoments(format.PaddedColumns(out.Shape[1]), format.PaddedRows(out.Shape[0]))
	err = w.windows(func(first, count int) error {
		targets, x := make([]float32, count*m.outputs), kernels.NewActivations(count, out.Shape[1])
		err := w.run(ctx, &w.after, first, count, func(worker *pool.Worker, row int) {
			inputs := after.Normalize(worker, w.after.pass)
			after.Multiply(worker, w.after.pass, inputs)
			w.see(worker, after.Mix(worker, w.after.pass), x, row)
		})
		if err != nil {
			return err
		}
		stride := w.after.pass.Stride()
		for t := range count {
			at, target := (first+t)*stride, targets[t*m.outputs:][:out.Shape[0]]
			if normed {
				copy(target, projected[(first+t)*out.Shape[0]:])
				continue
			}
			for d := range target {
				if target[d] = w.before.residual[at+d] - w.after.residual[at+d]; before.Multiplier != 0 {
					target[d] /= before.Multiplier
				}
			}
		}
		return m.add(ctx, w.calibration, x, targets)
	})
	if err != nil {
		return err
	}
	if err := w.replace(ctx, &after.Out, out, m); err != nil {
		return err
	}
	return w.advance(ctx, &w.after, after)
}

// replace rounds a matrix and puts it into the place of the original.
func (w *calibrationWalk) replace(ctx context.Context, place *forward.Linear, t architecture.Tensor, m *moments) error {
	r, err := w.round(ctx, t, m)
	if err != nil {
		return err
	}
	place.Weights = r.weights
	if r.bias != nil {
		place.SetBias(r.bias)
	}
	return nil
}
