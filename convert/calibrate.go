package convert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/progress"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/quant"
)

// Calibration is a text by which weights are rounded: rather than each weight, what matrices make
// of the text should change little.
type Calibration struct {
	// Text is of the kind that the model is for, tens of thousands of tokens long. What is beyond
	// CalibrationTokens is not used.
	Text string
	// Tokenize returns the tokens of a text by the tokenizer section of the target.
	Tokenize func(section []byte, text string) ([]int32, error)
	// Progress is told how many weights have been rounded, if not nil; its calls never overlap.
	Progress func(done, total int64)
}

// CalibrationTokens is the most of a text that calibration uses, in tokens. With it memory is
// bounded: 8 bytes for every token and element of an embedding, 16 for every pair of inputs of one
// matrix, and that matrix a few times in float32. For GPT-2's 124 million weights and 42,000 tokens
// this came to 1.3 GB.
const CalibrationTokens = 1 << 16

// calibrationSource is the text's name among the sources of a file. No file of a model is called so.
const calibrationSource = "(calibration text)"

// calibration is a walk through a model that rounds one matrix after the other. Inputs are those of
// the model as it will be, with all earlier matrices rounded; the target of each matrix is what the
// original model has in its place, so that later matrices make up for the errors of earlier ones.
type calibration struct {
	weights   map[string]weight
	encodings [roles]format.Encoding
	tokens    []int32
	kernels   *kernels.Set
	workers   int
	progress  *progress.Meter // of weights that have been rounded

	sections map[string][]byte // what has been calibrated, by name
}

// calibrate returns the sections of a plan that a calibration changes.
func calibrate(ctx context.Context, p plan, encodings [roles]format.Encoding, tokenizer []byte, o Options) (map[string][]byte, error) {
	tokens, err := o.Calibrate.Tokenize(tokenizer, o.Calibrate.Text)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, errors.New("calibration: the text is empty")
	}
	c := &calibration{
		weights: map[string]weight{}, encodings: encodings, tokens: tokens[:min(len(tokens), CalibrationTokens)],
		workers: o.Workers, sections: map[string][]byte{},
	}
	if c.kernels, err = kernels.FromEnvironment(); err != nil {
		return nil, err
	}
	total := int64(0)
	for _, w := range p.weights {
		c.weights[w.name] = w
		if w.role != vector {
			total += int64(w.shape[0]) * int64(w.shape[1])
		}
	}
	c.progress = progress.NewMeter(total, o.Calibrate.Progress)
	// The source is only read by the goroutine that is here, not by those it starts.
	if err := format.GuardFault(func() error { return p.calibrate(ctx, c) }); err != nil {
		return nil, err
	}
	return c.sections, nil
}

// digest returns the SHA-256 of the text as the file has it.
func (c *Calibration) digest() string {
	sum := sha256.Sum256([]byte(c.Text))
	return hex.EncodeToString(sum[:])
}

// each calls f for 0 <= i < n, several at a time, and returns the first error.
func (c *calibration) each(ctx context.Context, n int, f func(i int) error) error {
	return parallel.Each(ctx, c.workers, n, func(_ context.Context, i int) error { return f(i) })
}

// layer is a matrix as the forward pass uses it.
type layer struct {
	weights panel.Matrix
	bias    []float32 // for each padded row
}

func (l *layer) rows() int { return format.PaddedRows(l.weights.Rows) }

// vector returns a weight that is no matrix.
func (c *calibration) vector(ctx context.Context, name string) ([]float32, error) {
	var section bytes.Buffer
	if err := c.weights[name].encode(ctx, format.Float32, &section); err != nil {
		return nil, err
	}
	return format.Float32s(section.Bytes()), nil
}

// bias returns the bias of a matrix for each padded row, zeros if it has none.
func (c *calibration) bias(ctx context.Context, name string, rows int) ([]float32, error) {
	bias := make([]float32, format.PaddedRows(rows))
	if _, ok := c.weights[name+".bias"]; !ok {
		return bias, nil
	}
	values, err := c.vector(ctx, name+".bias")
	copy(bias, values)
	return bias, err
}

// matrix returns a matrix of the source, given by its name without ".weight", in some encoding.
func (c *calibration) matrix(ctx context.Context, name string, encoding format.Encoding) (layer, error) {
	w := c.weights[name+".weight"]
	size, err := encoding.Size(w.shape)
	if err != nil {
		return layer{}, err
	}
	section := bytes.NewBuffer(make([]byte, 0, size))
	if err := w.encode(ctx, encoding, section); err != nil {
		return layer{}, err
	}
	weights, err := panel.View(encoding, w.shape[0], w.shape[1], section.Bytes())
	if err != nil {
		return layer{}, err
	}
	bias, err := c.bias(ctx, name, w.shape[0])
	return layer{weights, bias}, err
}

// round rounds a matrix, given by its name without ".weight", for the inputs and targets of m. A
// matrix with a bias must have targets; its bias then takes what the mean of the outputs is off.
func (c *calibration) round(ctx context.Context, name string, m *moments) (layer, error) {
	w := c.weights[name+".weight"]
	_, biased := c.weights[name+".bias"]
	m.mean(biased)
	solver, err := quant.NewSolver(m.squares, m.inputs)
	if err != nil {
		return layer{}, fmt.Errorf("tensor %s: calibration: %w", w.source.name, err)
	}
	encoding := c.encodings[w.role]
	encoder, err := quant.NewEncoder(encoding, w.shape[0], w.shape[1])
	if err != nil {
		return layer{}, err
	}
	size, values := encoder.PanelBytes(), format.PanelRows*m.inputs
	codes := make([]byte, encoder.Panels()*size, encoder.Panels()*size+len(encoder.Scales()))
	weights := make([]float32, encoder.Panels()*values)
	w.panels(weights, 0)
	err = c.each(ctx, encoder.Panels(), func(p int) error {
		rows := weights[p*values : (p+1)*values]
		if m.outputs > 0 {
			solver.Fit(rows, m.products[p*values:(p+1)*values])
		}
		if err := solver.EncodePanel(encoder, codes[p*size:(p+1)*size], p, rows); err != nil {
			return fmt.Errorf("tensor %s: %w", w.source.name, w.atSource(err))
		}
		c.progress.Add(min(format.PanelRows, w.shape[0]-p*format.PanelRows) * w.shape[1])
		return nil
	})
	if err != nil {
		return layer{}, err
	}
	section := append(codes, encoder.Scales()...)
	c.sections[w.name] = section
	rounded, err := panel.View(encoding, w.shape[0], w.shape[1], section)
	if err != nil {
		return layer{}, err
	}
	bias := make([]float32, format.PaddedRows(rounded.Rows))
	if biased {
		c.sections[name+".bias"] = m.fitBias(bias, rounded)
	}
	return layer{rounded, bias}, nil
}

// fitBias sets the bias with which the mean outputs of a matrix are those of the targets, and returns
// it as a section.
func (m *moments) fitBias(bias []float32, matrix panel.Matrix) []byte {
	row := make([]float32, matrix.Columns)
	var section []byte
	for r := range matrix.Rows {
		matrix.Row(r, row)
		mean := 0.0
		for k, w := range row {
			mean += float64(float64(w) * m.sumInputs[k])
		}
		bias[r] = float32(m.sumOutputs[r] - mean)
		section = binary.LittleEndian.AppendUint32(section, math.Float32bits(bias[r]))
	}
	return section
}

// apply returns the outputs of a layer, [x.Tokens, rows].
func (c *calibration) apply(ctx context.Context, l layer, x *kernels.Input) ([]float32, error) {
	const tile = 64 // tokens that go through the matrix together
	out := make([]float32, x.Tokens*l.rows())
	err := c.each(ctx, (x.Tokens+tile-1)/tile, func(i int) error {
		first, last := i*tile, min((i+1)*tile, x.Tokens)
		c.kernels.MatMul(out[first*l.rows():], l.rows(), &l.weights, tokens(x, first, last), l.bias, 0, l.weights.Panels())
		return nil
	})
	return out, err
}

// tokens returns a view of some tokens of x.
func tokens(x *kernels.Input, first, last int) *kernels.Input {
	groups := x.Columns / format.GroupColumns
	return &kernels.Input{
		Tokens: last - first, Columns: x.Columns,
		Values: x.Values[first*x.Columns : last*x.Columns], Codes: x.Codes[first*x.Columns : last*x.Columns],
		Scales: x.Scales[first*groups : last*groups], Sums: x.Sums[first*groups : last*groups],
	}
}

// inputs returns the inputs of a matrix: count rows that fill writes, quantized as well.
func (c *calibration) inputs(ctx context.Context, count, columns int, fill func(t int, row []float32)) (*kernels.Input, error) {
	x := kernels.NewInput(count, columns)
	err := c.each(ctx, count, func(t int) error {
		fill(t, x.Row(t)[:columns])
		c.kernels.Quantize(x, t, t+1)
		return nil
	})
	return x, err
}
