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
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/progress"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/quant"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// Calibration is a text by which weights are rounded: rather than each weight, what matrices make
// of the text should change little.
type Calibration struct {
	// Text is of the kind that the model is for, tens of thousands of tokens long. What is beyond
	// CalibrationTokens is not used.
	Text string
	// Progress is told how many weights have been rounded, if not nil; its calls never overlap.
	Progress func(done, total int64)
}

// CalibrationTokens is the most of a text that calibration uses, in tokens. With it memory is
// bounded: 8 bytes for every token and element of an embedding, 16 for every pair of inputs of one
// matrix, and a layer in float32. For GPT-2's 124 million weights and 42,000 tokens
// this came to 1.3 GB.
const CalibrationTokens = 1 << 16

// CalibrationWindow is the most of a text, in tokens, that calibration runs in one piece.
const CalibrationWindow = 2048

// calibrationSource is the text's name among the sources of a file. No file of a model is called so.
const calibrationSource = "(calibration text)"

// calibration holds the weights of a model as they were and as they have been rounded by a text. calibrationWalk goes
// through the model.
type calibration struct {
	plan      plan
	weights   map[string]weight // by name
	biases    map[string]weight // by the name of their matrix
	encodings [kinds]format.Encoding
	tokens    []int32
	kernels   *kernels.Set
	workers   int
	progress  *progress.Meter // of weights that have been rounded

	sections map[string][]byte // what has been calibrated, by name
}

// calibrate returns the sections of a plan that a calibration changes. Its tokens are those of the target's tokenizer
// section.
func calibrate(ctx context.Context, p plan, encodings [kinds]format.Encoding, section []byte, o Options) (map[string][]byte, error) {
	vocabulary, err := tokenizer.New(section)
	if err != nil {
		return nil, err
	}
	tokens, err := vocabulary.Encode(o.Calibrate.Text)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, errors.New("calibration: the text is empty")
	}
	c, err := newCalibration(p, encodings, tokens[:min(len(tokens), CalibrationTokens)], o)
	if err != nil {
		return nil, err
	}
	// The source is only read by the goroutine that is here, not by those it starts.
	if err := format.GuardFault(func() error { return c.walk(ctx) }); err != nil {
		return nil, err
	}
	return c.sections, nil
}

func newCalibration(p plan, encodings [kinds]format.Encoding, tokens []int32, o Options) (*calibration, error) {
	c := &calibration{
		plan: p, weights: map[string]weight{}, biases: map[string]weight{}, encodings: encodings, tokens: tokens,
		workers: o.Workers, sections: map[string][]byte{},
	}
	var err error
	if c.kernels, err = kernels.FromEnvironment(); err != nil {
		return nil, err
	}
	total := int64(0)
	matrix := ""
	for _, w := range p.weights {
		c.weights[w.Name] = w
		switch {
		case w.IsMatrix():
			matrix = w.Name
			total += int64(w.Shape[0]) * int64(w.Shape[1])
		case w.Bias && matrix != "" && c.weights[matrix].Role == w.Role && c.weights[matrix].Layer == w.Layer:
			c.biases[matrix] = w
		}
	}
	c.progress = progress.NewMeter(total, o.Calibrate.Progress)
	return c, nil
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

// original is the model as it was, as a source of weights for the forward pass.
type original struct {
	*calibration
	ctx context.Context
}

// Matrix implements forward.Source.
func (o original) Matrix(t architecture.Tensor) (panel.Matrix, error) {
	return o.encoded(o.ctx, t, format.PanelF32)
}

// Vector implements forward.Source.
func (o original) Vector(t architecture.Tensor) ([]float32, error) {
	var section bytes.Buffer
	if err := o.weights[t.Name].encode(o.ctx, format.Float32, &section); err != nil {
		return nil, err
	}
	return format.Float32s(section.Bytes()), nil
}

// encoded returns a matrix of the source in some encoding.
func (c *calibration) encoded(ctx context.Context, t architecture.Tensor, encoding format.Encoding) (panel.Matrix, error) {
	size, err := encoding.Size(t.Shape)
	if err != nil {
		return panel.Matrix{}, err
	}
	section := bytes.NewBuffer(make([]byte, 0, size))
	if err := c.weights[t.Name].encode(ctx, encoding, section); err != nil {
		return panel.Matrix{}, err
	}
	return panel.View(encoding, t.Shape[0], t.Shape[1], section.Bytes())
}

// rounded is a matrix after calibration, and its bias, nil if it has none.
type rounded struct {
	weights panel.Matrix
	bias    []float32
}

// round rounds a matrix for the inputs and targets of m. A matrix with a bias must have targets; its bias then takes what
// the mean of the outputs is off.
func (c *calibration) round(ctx context.Context, t architecture.Tensor, m *moments) (r rounded, err error) {
	w := c.weights[t.Name]
	bias, biased := c.biases[t.Name]
	m.mean(biased)
	solver, err := quant.NewSolver(m.squares, m.inputs)
	if err != nil {
		return r, w.about(fmt.Errorf("calibration: %w", err))
	}
	encoding := c.encodings[kindOf(t)]
	encoder, err := quant.NewEncoder(encoding, w.Shape[0], w.Shape[1])
	if err != nil {
		return r, err
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
			return w.about(err)
		}
		c.progress.Add(min(format.PanelRows, w.Shape[0]-p*format.PanelRows) * w.Shape[1])
		return nil
	})
	if err != nil {
		return r, err
	}
	section := append(codes, encoder.Scales()...)
	c.sections[w.Name] = section
	if r.weights, err = panel.View(encoding, w.Shape[0], w.Shape[1], section); err != nil {
		return r, err
	}
	if biased {
		r.bias = m.fitBias(r.weights)
		c.sections[bias.Name] = vectorSection(r.bias)
	}
	return r, nil
}

// fitBias returns the bias with which the mean outputs of a matrix are those of the targets.
func (m *moments) fitBias(matrix panel.Matrix) []float32 {
	row, bias := make([]float32, matrix.Columns), make([]float32, matrix.Rows)
	for r := range bias {
		matrix.Row(r, row)
		mean := 0.0
		for k, w := range row {
			mean += float64(float64(w) * m.sumInputs[k])
		}
		bias[r] = float32(m.sumOutputs[r] - mean)
	}
	return bias
}

// vectorSection returns the section of a vector.
func vectorSection(values []float32) []byte {
	section := make([]byte, 0, 4*len(values))
	for _, x := range values {
		section = binary.LittleEndian.AppendUint32(section, math.Float32bits(x))
	}
	return section
}
