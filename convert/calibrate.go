package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/quant"
)

// CK are experiments.
var CK = struct {
	Correct   bool    // bias correction
	Target    float64 // share of reference-input targets
	Residual  float64 // share of residual correction
	TargetReg float64
	HeadDamp  float64
	HeadSolve bool
	Int8Solve bool
	Verbose   bool
}{Correct: true, Target: 1, Residual: 1, TargetReg: 0.05, HeadDamp: 0.05, HeadSolve: true, Int8Solve: true}

var confidence []float32
var CX = map[string]float64{}

var refCache = map[string][]float32{}

type calibration struct {
	ctx     context.Context
	kernels *kernels.Set
	workers int
	weights map[string]weight
	mode    string
	tokens  []int32
	hyper   gpt2Hyperparameters
	out     map[string][]byte
}

func each(workers, n int, f func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers, n) {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	group.Wait()
}

type lin struct {
	weights quant.Matrix
	bias    []float32
}

func (c *calibration) vec(name string) []float32 {
	w := c.weights[name]
	n := 1
	for _, d := range w.shape {
		n *= d
	}
	v := make([]float32, n)
	w.source.values(v, 0)
	return v
}

func (c *calibration) matrix(name string, e format.Encoding) quant.Matrix {
	w := c.weights[name]
	var b bytes.Buffer
	if err := w.encode(c.ctx, e, &b); err != nil {
		panic(err)
	}
	m, err := quant.View(e, w.shape[0], w.shape[1], b.Bytes())
	if err != nil {
		panic(err)
	}
	return m
}

func pad(v []float32) []float32 {
	return append(v, make([]float32, format.PaddedRows(len(v))-len(v))...)
}

// apply computes y [T, padded rows] of inputs x
func (c *calibration) apply(l lin, x *kernels.Input) []float32 {
	stride := format.PaddedRows(l.weights.Rows)
	y := make([]float32, x.Tokens*stride)
	const chunk = 64
	each(c.workers, (x.Tokens+chunk-1)/chunk, func(i int) {
		v := view(x, i*chunk, min((i+1)*chunk, x.Tokens))
		c.kernels.MatMul(y[i*chunk*stride:], stride, &l.weights, v, l.bias, 0, l.weights.Panels())
	})
	return y
}

func view(x *kernels.Input, a, b int) *kernels.Input {
	g := x.Columns / 64
	return &kernels.Input{Tokens: b - a, Columns: x.Columns, Values: x.Values[a*x.Columns : b*x.Columns], Codes: x.Codes[a*x.Columns : b*x.Columns], Scales: x.Scales[a*g : b*g], Sums: x.Sums[a*g : b*g]}
}

// input makes inputs of T rows.
func (c *calibration) input(T, columns int, quantize bool, fill func(t int, row []float32)) *kernels.Input {
	in := kernels.NewInput(T, columns)
	each(c.workers, T, func(t int) {
		row := in.Row(t)
		fill(t, row[:columns])
		if quantize {
			c.kernels.Quantize(in, t, t+1)
		}
	})
	return in
}

// effective replaces values by what the integer kernels see.
func effective(in *kernels.Input) []float32 {
	v := make([]float32, len(in.Values))
	for i := range v {
		v[i] = float32(in.Codes[i]) * in.Scales[i/64]
	}
	return v
}

// product returns sum_t y[t][i]*x[t][j] in float64 [ny, nx].
func (c *calibration) product(y []float32, ny int, x []float32, nx, T int) []float64 {
	out := make([]float64, ny*nx)
	const block = 512
	panels := nx / 16
	codes := make([]byte, panels*block*64)
	values := format.Float32s(codes)
	in := kernels.NewInput(ny, block)
	zero := make([]float32, nx)
	const rowsAtOnce = 64
	for t0 := 0; t0 < T; t0 += block {
		count := min(block, T-t0)
		each(c.workers, panels, func(p int) {
			for t := range block {
				line := values[(p*block+t)*16:][:16]
				if t < count {
					copy(line, x[(t0+t)*nx+p*16:])
				} else {
					clear(line)
				}
			}
		})
		each(c.workers, ny, func(i int) {
			row := in.Row(i)
			clear(row)
			for t := range count {
				row[t] = y[(t0+t)*ny+i]
			}
		})
		m := quant.Matrix{Encoding: format.PanelF32, Rows: nx, Columns: block, Codes: codes}
		each(c.workers, (ny+rowsAtOnce-1)/rowsAtOnce, func(b int) {
			a, z := b*rowsAtOnce, min(ny, (b+1)*rowsAtOnce)
			acc := make([]float32, rowsAtOnce*nx)
			c.kernels.MatMul(acc, nx, &m, view(in, a, z), zero, 0, panels)
			for i := a; i < z; i++ {
				for j := range nx {
					out[i*nx+j] += float64(acc[(i-a)*nx+j])
				}
			}
		})
	}
	return out
}

func mean(x []float32, n, T int) []float64 {
	m := make([]float64, n)
	for t := range T {
		for j := range n {
			m[j] += float64(x[t*n+j])
		}
	}
	for j := range m {
		m[j] /= float64(T)
	}
	return m
}

// solve encodes a matrix. target [T, padded rows] is what the product with x plus bias should be.
func (c *calibration) solve(name string, x *kernels.Input, target []float32, damp float64) lin {
	wt := c.weights[name+".weight"]
	e := encodings[c.mode][wt.role]
	rows, cols := wt.shape[0], format.PaddedColumns(wt.shape[1])
	stride := format.PaddedRows(rows)
	var bias []float32
	if _, ok := c.weights[name+".bias"]; ok {
		bias = pad(c.vec(name + ".bias"))
	}
	T := x.Tokens
	eff := effective(x)
	effw := eff
	if damp != 0 && CX["conf"] != 0 {
		effw = append([]float32(nil), eff...)
		for t := range T {
			for j := range cols {
				effw[t*cols+j] *= confidence[t]
			}
		}
	}
	H := c.product(effw, cols, eff, cols, T)
	for i := range H {
		H[i] /= float64(T)
	}
	mx := make([]float64, cols)
	correct := CK.Correct && bias != nil
	if correct {
		mx = mean(eff, cols, T)
		for i := range cols {
			for j := range cols {
				H[i*cols+j] -= mx[i] * mx[j]
			}
		}
	}
	if damp != 0 && CX["g"] != 0 {
		G := make([]float64, cols*cols)
		add := func(W []float32, gain []float32, rows int, share float64) {
			tmp := make([]float64, cols*cols)
			for r := range rows {
				for i := range cols {
					a := float64(W[r*cols+i]) * float64(gain[i])
					for j := range cols {
						tmp[i*cols+j] += a * float64(W[r*cols+j]) * float64(gain[j])
					}
				}
			}
			tr := 0.0
			for i := range cols {
				tr += tmp[i*cols+i]
			}
			for i := range tmp {
				G[i] += share * tmp[i] / tr
			}
		}
		for l := range c.hyper.Layers {
			b := fmt.Sprintf("h.%d.", l)
			sh := 1 / (1 + CX["gdecay"]*float64(l))
			m := c.matrix(b+"attn.c_attn.weight", format.PanelF32)
			add(m.Decode(), c.vec(b+"ln_1.weight"), m.Rows, sh)
			m = c.matrix(b+"mlp.c_fc.weight", format.PanelF32)
			add(m.Decode(), c.vec(b+"ln_2.weight"), m.Rows, sh)
		}
		if CX["ghead"] != 0 {
			m := c.matrix("wte.weight", format.PanelF32)
			add(m.Decode(), c.vec("ln_f.weight"), m.Rows, CX["ghead"])
		}
		trG, trH := 0.0, 0.0
		for i := range cols {
			trG += G[i*cols+i]
			trH += H[i*cols+i]
		}
		for i := range H {
			H[i] += CX["g"] * trH / trG * G[i]
		}
	}
	// weights
	panels := (rows + 15) / 16
	W := make([]float32, panels*16*cols)
	for p := range panels {
		wt.panels(W[p*16*cols:][:16*cols], p)
	}
	goal := W
	var my []float64
	if target != nil {
		C := c.product(target, stride, eff, cols, T)
		my = mean(target, stride, T)
		for i := range stride {
			for j := range cols {
				C[i*cols+j] /= float64(T)
				if correct {
					C[i*cols+j] -= my[i] * mx[j]
				}
			}
		}
		goal = c.regress(W, C, H, stride, cols, CK.TargetReg)
	}
	save := quant.K.Damping
	if damp != 0 {
		quant.K.Damping = damp
	}
	s, err := quant.NewSolver(H, cols)
	quant.K.Damping = save
	if err != nil {
		panic(err)
	}
	enc, _ := quant.NewEncoder(e, rows, wt.shape[1])
	codes := make([]byte, enc.Panels()*enc.PanelBytes())
	stats := make([]quant.Stats, panels)
	saveG := quant.K.GPTQ
	if e == format.PanelInt8 && !CK.Int8Solve {
		quant.K.GPTQ = false
	}
	each(c.workers, panels, func(p int) {
		stats[p], err = s.EncodePanel(enc, codes[p*enc.PanelBytes():][:enc.PanelBytes()], p, goal[p*16*cols:][:16*cols])
		if err != nil {
			panic(err)
		}
	})
	quant.K.GPTQ = saveG
	if CK.Verbose {
		var t quant.Stats
		for _, s := range stats {
			t.Plain += s.Plain
			t.GPTQ += s.GPTQ
			t.Refined += s.Refined
		}
		fmt.Printf("%-24s %v plain %.5g gptq %.4f refined %.4f\n", name, e, t.Plain, t.GPTQ/t.Plain, t.Refined/t.Plain)
	}
	section := append(codes, enc.Scales()...)
	c.out[name+".weight"] = section
	m, err := quant.View(e, rows, wt.shape[1], section)
	if err != nil {
		panic(err)
	}
	if correct {
		// bias = E[y] - What mx ; y = target or W x + b
		row, orig := make([]float32, wt.shape[1]), bias
		bias = make([]float32, len(orig))
		for r := range rows {
			m.Row(r, row)
			var a, b float64
			for j := range row {
				a += float64(row[j]) * mx[j]
				b += float64(W[r*cols+j]) * mx[j]
			}
			if target != nil {
				bias[r] = float32(my[r] - a)
			} else {
				bias[r] = float32(float64(orig[r]) + b - a)
			}
		}
		by := make([]byte, 4*rows)
		for r := range rows {
			binary.LittleEndian.PutUint32(by[4*r:], math.Float32bits(bias[r]))
		}
		c.out[name+".bias"] = by
	}
	if bias == nil {
		bias = make([]float32, stride)
	}
	return lin{m, bias}
}

// headFisher encodes wte by rows' own moments.
func (c *calibration) headFisher(x *kernels.Input, logits []float32, rho, damp float64) quant.Matrix {
	wt := c.weights["wte.weight"]
	e := encodings[c.mode][wt.role]
	rows, cols := wt.shape[0], format.PaddedColumns(wt.shape[1])
	T := x.Tokens
	eff := effective(x)
	H := c.product(eff, cols, eff, cols, T)
	for i := range H {
		H[i] /= float64(T)
	}
	stride := format.PaddedRows(rows)
	type item struct {
		t int
		p float32
	}
	lists := make([][]item, rows)
	for t := range T {
		l := logits[t*stride:][:rows]
		m := float32(-1e30)
		for _, v := range l {
			m = max(m, v)
		}
		var sum float64
		for _, v := range l {
			sum += math.Exp(float64(v - m))
		}
		for v, z := range l {
			p := math.Exp(float64(z-m)) / sum
			if p > 1e-4 {
				lists[v] = append(lists[v], item{t, float32(p * (1 - p))})
			}
		}
	}
	enc, _ := quant.NewEncoder(e, rows, wt.shape[1])
	codes := make([]byte, enc.Panels()*enc.PanelBytes())
	save := quant.K.Damping
	quant.K.Damping = damp
	var stats [2]float64
	var mu sync.Mutex
	each(c.workers, rows/16, func(p int) {
		W := make([]float32, 16*cols)
		wt.panels(W, p)
		h := make([]float64, cols*cols)
		for r := range 16 {
			v := p*16 + r
			clear(h)
			var mass float64
			for _, it := range lists[v] {
				xr := eff[it.t*cols:][:cols]
				mass += float64(it.p)
				for i, a := range xr {
					f := float64(it.p) * float64(a)
					for j := range i + 1 {
						h[i*cols+j] += f * float64(xr[j])
					}
				}
			}
			// prior mass: shared
			prior := rho * (mass + 1)
			for i := range cols {
				for j := range i + 1 {
					h[i*cols+j] = (h[i*cols+j] + prior*H[i*cols+j]) / (mass + prior)
					h[j*cols+i] = h[i*cols+j]
				}
			}
			s, err := quant.NewSolver(h, cols)
			if err != nil {
				panic(err)
			}
			s.Only = r
			st, err := s.EncodePanel(enc, codes[p*enc.PanelBytes():][:enc.PanelBytes()], p, W)
			if err != nil {
				panic(err)
			}
			mu.Lock()
			stats[0] += st.Plain
			stats[1] += st.Refined
			mu.Unlock()
		}
	})
	quant.K.Damping = save
	fmt.Println("fisher ratio", stats[1]/stats[0])
	section := append(codes, enc.Scales()...)
	c.out["wte.weight"] = section
	m, err := quant.View(e, rows, wt.shape[1], section)
	if err != nil {
		panic(err)
	}
	return m
}

// regress: (C + l W)(H + l I)^-1
func (c *calibration) regress(W []float32, C, H []float64, rows, n int, reg float64) []float32 {
	a := append([]float64(nil), H...)
	m := 0.0
	for k := range n {
		m += H[k*n+k]
	}
	l := reg * m / float64(n)
	if l == 0 {
		return W
	}
	for k := range n {
		a[k*n+k] += l
	}
	for i := range n { // lower cholesky
		for j := range i + 1 {
			s := a[i*n+j]
			for k := range j {
				s -= a[i*n+k] * a[j*n+k]
			}
			if i == j {
				a[i*n+i] = math.Sqrt(s)
			} else {
				a[i*n+j] = s / a[j*n+j]
			}
		}
	}
	out := make([]float32, len(W))
	each(c.workers, rows, func(r int) {
		b := make([]float64, n)
		for j := range n {
			b[j] = C[r*n+j] + l*float64(W[r*n+j])
		}
		for i := range n {
			s := b[i]
			for k := range i {
				s -= a[i*n+k] * b[k]
			}
			b[i] = s / a[i*n+i]
		}
		for i := n - 1; i >= 0; i-- {
			b[i] /= a[i*n+i]
			for k := range i {
				b[k] -= a[i*n+k] * b[i]
			}
		}
		for j := range n {
			out[r*n+j] = float32(b[j])
		}
	})
	return out
}

func isInt(m quant.Matrix) bool {
	return m.Encoding == format.PanelInt8 || m.Encoding == format.PanelInt4
}

func (c *calibration) norm(x []float32, name string, quantize bool) *kernels.Input {
	d := c.hyper.Embedding
	w, b := c.vec(name+".weight"), c.vec(name+".bias")
	return c.input(len(c.tokens), d, quantize, func(t int, row []float32) {
		c.kernels.LayerNorm(row, x[t*d:(t+1)*d], w, b, float32(c.hyper.Epsilon))
	})
}

func (c *calibration) attend(combined []float32, stride, layer int, cache kernels.CacheEncoding) []float32 {
	h := c.hyper
	d, width := h.Embedding, h.Embedding/h.Heads
	out := make([]float32, len(c.tokens)*d)
	windows := (len(c.tokens) + h.Positions - 1) / h.Positions
	scale := 1.0
	if h.ScaleAttention {
		scale /= math.Sqrt(float64(width))
	}
	if h.ScaleByInverseLayer {
		scale /= float64(layer + 1)
	}
	each(c.workers, windows*h.Heads, func(i int) {
		head := i % h.Heads
		first := i / h.Heads * h.Positions
		count := min(h.Positions, len(c.tokens)-first)
		kv := kernels.NewHeads(cache, 1, width, count)
		dim := kv[0].Dimensions
		q := make([]float32, count*dim)
		for t := range count {
			row := combined[(first+t)*stride:]
			for j := range width {
				q[t*dim+j] = row[head*width+j] * float32(scale)
			}
			kv[0].Store(t, row[d+head*width:][:width], row[2*d+head*width:][:width])
		}
		res := make([]float32, count*dim)
		c.kernels.Attend(res, dim, q, &kv[0], 0, count, make([]float32, kernels.ScoreSpace(kv[0].Positions)))
		for t := range count {
			copy(out[(first+t)*d+head*width:][:width], res[t*dim:])
		}
	})
	return out
}

func blend(a []float32, share float64, b []float32) []float32 { // b + share*(a-b)
	out := make([]float32, len(a))
	for i := range a {
		out[i] = float32(float64(b[i]) + share*(float64(a[i])-float64(b[i])))
	}
	return out
}

var activationsC = map[string]kernels.Activation{"gelu_new": kernels.GELUTanh, "gelu": kernels.GELU, "relu": kernels.ReLU}

func (c *calibration) run() {
	h := c.hyper
	d, T := h.Embedding, len(c.tokens)
	positions := c.vec("wpe.weight")
	embed := func(m quant.Matrix) []float32 {
		x := make([]float32, T*d)
		for t, id := range c.tokens {
			m.Row(int(id), x[t*d:(t+1)*d])
			c.kernels.Add(x[t*d:(t+1)*d], positions[t%h.Positions*d:][:d])
		}
		return x
	}
	wte := c.matrix("wte.weight", format.PanelF32)
	ref := embed(wte)
	refLayer := func(x []float32, i int, each func(stage string, y []float32)) {
		b := fmt.Sprintf("h.%d.", i)
		l := func(n string) lin {
			return lin{c.matrix(b+n+".weight", format.PanelF32), pad(c.vec(b + n + ".bias"))}
		}
		y := c.apply(l("attn.c_attn"), c.norm(x, b+"ln_1", false))
		each("attn.c_attn", y)
		a := c.attend(y, format.PaddedRows(3*d), i, kernels.CacheF32)
		in := c.input(T, d, false, func(t int, row []float32) { copy(row, a[t*d:]) })
		y = c.apply(l("attn.c_proj"), in)
		addTo(x, y, d)
		each("attn.c_proj", x)
		y = c.apply(l("mlp.c_fc"), c.norm(x, b+"ln_2", false))
		each("mlp.c_fc", y)
		c.kernels.Activate(activationsC[h.Activation], y)
		stride := format.PaddedRows(h.Inner)
		in = c.input(T, h.Inner, false, func(t int, row []float32) { copy(row, y[t*stride:]) })
		y = c.apply(l("mlp.c_proj"), in)
		addTo(x, y, d)
		each("mlp.c_proj", x)
	}
	T0 := fmt.Sprint(T, " ")
	refs := func(i int, stage string) []float32 { return refCache[T0+fmt.Sprint(i)+stage] }
	if refs(0, "attn.c_attn") == nil {
		clear(refCache)
		for i := range h.Layers {
			refLayer(ref, i, func(stage string, y []float32) {
				refCache[T0+fmt.Sprint(i)+stage] = append([]float32(nil), y...)
			})
		}
	}
	e := encodings[c.mode][embedding]
	var q []float32
	if CK.HeadSolve {
		x := refs(h.Layers-1, "mlp.c_proj")
		if CX["fisher"] != 0 {
			in := c.norm(x, "ln_f", true)
			logits := c.apply(lin{wte, make([]float32, format.PaddedRows(h.Vocabulary))}, in)
			q = embed(c.headFisher(in, logits, CX["fisher"], CK.HeadDamp))
		} else {
			if CX["conf"] != 0 {
				logits := c.apply(lin{wte, make([]float32, format.PaddedRows(h.Vocabulary))}, c.norm(x, "ln_f", true))
				stride := format.PaddedRows(h.Vocabulary)
				confidence = make([]float32, T)
				for t := range T {
					l := logits[t*stride:][:h.Vocabulary]
					m := float32(-1e30)
					for _, v := range l {
						m = max(m, v)
					}
					var sum, sq float64
					for _, v := range l {
						p := math.Exp(float64(v - m))
						sum += p
						sq += p * p
					}
					confidence[t] = float32(1 - sq/sum/sum)
				}
			}
			q = embed(c.solve("wte", c.norm(x, "ln_f", true), nil, CK.HeadDamp).weights)
		}
	} else {
		q = embed(c.matrix("wte.weight", e))
	}
	for i := range h.Layers {
		b := fmt.Sprintf("h.%d.", i)
		f32 := func(n string, in *kernels.Input) []float32 {
			return c.apply(lin{c.matrix(b+n+".weight", format.PanelF32), pad(c.vec(b + n + ".bias"))}, in)
		}
		pick := func(n string, in *kernels.Input) []float32 {
			if CK.Target == 0 {
				return nil
			}
			return blend(refs(i, n), CK.Target, f32(n, in))
		}
		pickR := func(n string, in *kernels.Input) []float32 { // residual
			if CK.Residual == 0 {
				return nil
			}
			y := make([]float32, len(q))
			r := refs(i, n)
			for j := range y {
				y[j] = r[j] - q[j]
			}
			return blend(y, CK.Residual, f32(n, in))
		}
		in := c.norm(q, b+"ln_1", true)
		l := c.solve(b+"attn.c_attn", in, pick("attn.c_attn", in), 0)
		y := c.apply(l, in)
		a := c.attend(y, format.PaddedRows(3*d), i, kernels.CacheF16)
		in = c.input(T, d, true, func(t int, row []float32) { copy(row, a[t*d:]) })
		l = c.solve(b+"attn.c_proj", in, pickR("attn.c_proj", in), 0)
		addTo(q, c.apply(l, in), d)
		in = c.norm(q, b+"ln_2", true)
		l = c.solve(b+"mlp.c_fc", in, pick("mlp.c_fc", in), 0)
		y = c.apply(l, in)
		c.kernels.Activate(activationsC[h.Activation], y)
		stride := format.PaddedRows(h.Inner)
		in = c.input(T, h.Inner, true, func(t int, row []float32) { copy(row, y[t*stride:]) })
		l = c.solve(b+"mlp.c_proj", in, pickR("mlp.c_proj", in), 0)
		addTo(q, c.apply(l, in), d)
	}
	if CK.Verbose {
		var e, s float64
		for i := range q {
			ref := refs(h.Layers-1, "mlp.c_proj")
			dd := float64(q[i] - ref[i])
			e += dd * dd
			s += float64(ref[i]) * float64(ref[i])
		}
		fmt.Printf("residual error %.6f\n", e/s)
	}
}

func addTo(x, y []float32, d int) {
	stride := format.PaddedRows(d)
	for t := range len(x) / d {
		for j := range d {
			x[t*d+j] += y[t*stride+j]
		}
	}
}

func calibrate(ctx context.Context, p plan, mode string, workers int, tokens []int32) map[string][]byte {
	c := &calibration{ctx: ctx, workers: max(workers, 2), weights: map[string]weight{}, mode: mode, tokens: tokens, out: map[string][]byte{}}
	c.kernels, _ = kernels.FromEnvironment()
	for _, w := range p.weights {
		c.weights[w.name] = w
	}
	json.Unmarshal(p.hyperparameters, &c.hyper)
	c.run()
	return c.out
}
