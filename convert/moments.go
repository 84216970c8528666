package convert

import (
	"context"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/kernels"
)

// moments are the statistics of a matrix's inputs x and of the targets y that its outputs should
// have. They are added up block by block of tokens: in float32 within a block, in one ascending
// chain as all float32 matrix products are, in float64 from block to block. So they do not depend on
// the number of workers or the kernels.
type moments struct {
	inputs, outputs int // padded to what panels have
	count           int
	sumInputs       []float64 // [inputs]
	sumOutputs      []float64 // [outputs]; empty without targets, as the next is
	products        []float64 // [outputs, inputs]: sum of y x'
	squares         []float64 // [inputs, inputs]: sum of x x'; only what lies below or on the diagonal, until mean completes it
}

// newMoments returns moments of padded columns inputs and padded rows outputs, 0 for none.
func newMoments(inputs, outputs int) *moments {
	return &moments{
		inputs: inputs, outputs: outputs,
		sumInputs: make([]float64, inputs), sumOutputs: make([]float64, outputs),
		squares: make([]float64, inputs*inputs), products: make([]float64, outputs*inputs),
	}
}

// add adds a block of tokens: what integer kernels see of the inputs, and targets
// [x.Tokens, outputs], nil for none.
func (m *moments) add(ctx context.Context, c *calibration, x *kernels.Activations, targets []float32) error {
	seen := make([]float32, len(x.Values))
	for i, code := range x.Codes {
		seen[i] = float32(code) * x.Scales[i/format.GroupColumns]
	}
	m.count += x.Tokens
	addRows(m.sumInputs, seen)
	transposed := transposedPanels(seen, x.Tokens, m.inputs)
	if err := m.accumulate(ctx, c, m.squares, transposed, seen, m.inputs, true); err != nil || targets == nil {
		return err
	}
	addRows(m.sumOutputs, targets)
	return m.accumulate(ctx, c, m.products, transposed, targets, m.outputs, false)
}

// addRows adds the rows of block, each as long as sums, to sums.
func addRows(sums []float64, block []float32) {
	for i, v := range block {
		sums[i%len(sums)] += float64(v)
	}
}

// transposedPanels returns a block [tokens, inputs] as the matrix [inputs, tokens] in f32 panels: a
// line of a panel is what a token has for 16 inputs.
func transposedPanels(block []float32, tokens, inputs int) *panel.Matrix {
	padded := format.PaddedColumns(tokens)
	codes := make([]byte, inputs*padded*4)
	values := format.Float32s(codes)
	for p := range inputs / format.PanelRows {
		for t := range tokens {
			copy(values[(p*padded+t)*format.PanelRows:][:format.PanelRows], block[t*inputs+p*format.PanelRows:])
		}
	}
	return &panel.Matrix{Encoding: format.PanelF32, Rows: inputs, Columns: padded, Codes: codes}
}

// accumulate adds the sum over tokens of y x' to sums [width, inputs], for a block y
// [tokens, width]. Of a triangle, only what lies below or on the diagonal is needed.
func (m *moments) accumulate(ctx context.Context, c *calibration, sums []float64, x *panel.Matrix, y []float32, width int, triangle bool) error {
	const tile = 64 // rows of sums that are worked on together
	none := make([]float32, m.inputs)
	tokens := len(y) / width
	return c.each(ctx, (width+tile-1)/tile, func(i int) error {
		first, last := i*tile, min((i+1)*tile, width)
		in := kernels.NewActivations(last-first, x.Columns)
		for t := range tokens {
			for j, v := range y[t*width+first : t*width+last] {
				in.Values[j*x.Columns+t] = v
			}
		}
		panels := x.Panels()
		if triangle {
			panels = last / format.PanelRows
		}
		block := make([]float32, (last-first)*m.inputs)
		c.kernels.MatMul(block, m.inputs, x, in, none, 0, panels)
		for j := range last - first {
			row := sums[(first+j)*m.inputs:][:panels*format.PanelRows]
			for k := range row {
				row[k] += float64(block[j*m.inputs+k])
			}
		}
		return nil
	})
}

// mean turns sums into means. centred takes the product of the means out of them, as it is right
// where a bias will make up for the mean error.
func (m *moments) mean(centred bool) {
	count := float64(m.count)
	scale(m.sumInputs, 1/count)
	scale(m.sumOutputs, 1/count)
	scale(m.products, 1/count)
	scale(m.squares, 1/count)
	for i := range m.inputs {
		for j := range i + 1 {
			if centred {
				m.squares[i*m.inputs+j] -= float64(m.sumInputs[i] * m.sumInputs[j])
			}
			m.squares[j*m.inputs+i] = m.squares[i*m.inputs+j]
		}
	}
	if !centred {
		return
	}
	for i, y := range m.sumOutputs {
		for j, x := range m.sumInputs {
			m.products[i*m.inputs+j] -= float64(y * x)
		}
	}
}

func scale(values []float64, by float64) {
	for i := range values {
		values[i] *= by
	}
}
