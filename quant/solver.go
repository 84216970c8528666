package quant

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	blasgonum "gonum.org/v1/gonum/blas/gonum"
	lapackgonum "gonum.org/v1/gonum/lapack/gonum"

	"github.com/tti-llm/tti/format"
)

// Damping is what is added to the diagonal of second moments, as a part of its mean: how far what
// was seen of a matrix's inputs is trusted. A text of tens of thousands of tokens says little about
// the directions in which its inputs vary least.
const Damping = 0.2

// ErrMoments is returned for second moments that are none, because inputs were not finite.
var ErrMoments = errors.New("second moments are not those of finite inputs")

// Solver rounds matrices whose inputs have known second moments, so that the outputs change little.
// Where Encoder minimises the squared error of weights, Solver minimises the expected squared error
// of products, e'He for the errors e of a row and the damped moments H of its inputs.
//
// The method is GPTQ (Frantar et al., 2022) seen as a closest vector problem (Chen et al., "The
// Geometry of LLM Quantization", 2025): with the upper Cholesky factor of H the error becomes a sum
// of squares, one for each column, that hold the errors of this column and of those after it. The
// columns are rounded from the last to the first, each to what makes its own square small. int4
// codes and scales are then improved by coordinate descent.
//
// Memory is 16 bytes for every moment. A Solver is safe for concurrent use. Its results do not
// depend on how the work is divided, but they do on the processor's architecture.
type Solver struct {
	columns  int
	unit     float64   // what the moments were divided by
	moments  []float32 // [column, column], damped, the diagonal about 1
	factor   []float64 // upper Cholesky factor of moments; what is below its diagonal means nothing
	feedback []float32 // the factor with its rows divided by the diagonal
}

// NewSolver returns a solver for inputs with the given second moments, [columns, columns], columns
// padded as those of panels are. It keeps and overwrites moments. It fails with ErrMoments if they
// are not positive semidefinite.
func NewSolver(moments []float64, columns int) (*Solver, error) {
	n := columns
	if n <= 0 || n%groups != 0 || len(moments) != n*n {
		panic(fmt.Sprintf("quant: %d moments of %d columns", len(moments), n))
	}
	unit := 0.0
	for k := range n {
		unit += moments[k*n+k] / float64(n)
	}
	switch {
	case !(unit >= 0 && unit <= math.MaxFloat32): // NaN too
		return nil, ErrMoments
	case unit == 0:
		unit = 1 // no input is ever other than zero: any rounding is right
	}
	s := &Solver{columns: n, unit: unit, moments: make([]float32, n*n), factor: moments, feedback: make([]float32, n*n)}
	for i := range moments {
		moments[i] /= unit
	}
	for k := range n {
		moments[k*n+k] += Damping
	}
	for i, m := range moments {
		s.moments[i] = float32(m)
	}
	if !(lapackgonum.Implementation{}).Dpotrf(blas.Upper, n, s.factor, n) {
		return nil, ErrMoments
	}
	for k := range n {
		for i := k; i < n; i++ {
			s.feedback[k*n+i] = float32(s.factor[k*n+i] / s.factor[k*n+k])
		}
	}
	return s, nil
}

// Fit moves the rows of a panel, [16, columns], to where their products come closest to given
// targets: of all rows it finds those that minimise the mean squared distance of product and target
// plus the squared distance from the rows as they were, times the damping. targets holds the mean
// products of each row's target with the inputs, [16, columns].
func (s *Solver) Fit(weights []float32, targets []float64) {
	n := s.columns
	// (targets + damping weights) (moments + damping)^-1, transposed.
	solution := make([]float64, n*rows)
	for k := range n {
		for r := range rows {
			solution[k*rows+r] = targets[r*n+k]/s.unit + float64(Damping*float64(weights[r*n+k]))
		}
	}
	linear.Dtrsm(blas.Left, blas.Upper, blas.Trans, blas.NonUnit, n, rows, 1, s.factor, n, solution, rows)
	linear.Dtrsm(blas.Left, blas.Upper, blas.NoTrans, blas.NonUnit, n, rows, 1, s.factor, n, solution, rows)
	for k := range n {
		for r := range rows {
			weights[r*n+k] = float32(solution[k*rows+r])
		}
	}
}

// EncodePanel encodes a panel as Encoder.EncodePanel does. The expected error of every row, under
// the damped moments, is at most what plain rounding leaves. Different panels of one encoder may be
// encoded at the same time. The encoding must be int8 or int4.
func (s *Solver) EncodePanel(e *Encoder, dst []byte, p int, weights []float32) error {
	if p < 0 || p >= e.Panels() || len(dst) != e.PanelBytes() || len(weights) != rows*e.padded || e.padded != s.columns {
		panic(fmt.Sprintf("quant: panel %d of %d, %d weights into %d bytes for %d columns", p, e.Panels(), len(weights), len(dst), s.columns))
	}
	if err := e.check(p, weights); err != nil {
		return err
	}
	plain, solved := newRounding(s, e.encoding, weights), newRounding(s, e.encoding, weights)
	plain.nearest()
	switch e.encoding {
	case format.PanelInt8:
		solved.feedbackInt8()
		solved.updateGradient()
	case format.PanelInt4:
		solved.feedbackInt4()
		solved.updateGradient()
		for range sweeps {
			solved.descendCodes()
			solved.descendScales()
		}
		solved.updateGradient() // without what its updates have lost
	default:
		return fmt.Errorf("encoding %v has nothing to solve", e.encoding)
	}
	plain.updateGradient()
	for r := range rows {
		best := solved
		if plain.cost(r) < solved.cost(r) {
			best = plain
		}
		e.store(dst, p, r, best.codes[r], best.scales[r])
	}
	return nil
}

// linear does what loops over long rows would do slowly.
var linear blasgonum.Implementation

// dot returns the sum of products of a and as many elements of b.
func dot(a, b []float32) float32 { return linear.Sdot(len(a), a, 1, b[:len(a)], 1) }

// addScaled adds a*x to as many elements of y.
func addScaled(a float32, x, y []float32) { linear.Saxpy(len(x), a, x, 1, y[:len(x)], 1) }
