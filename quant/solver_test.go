package quant

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
	"github.com/tti-llm/tti/format/panel"
)

// correlated returns the second moments of inputs that mix fewer causes than there are columns, the
// first active ones of them.
func correlated(n, active int, seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, 7))
	moments := make([]float64, n*n)
	x := make([]float64, n)
	for range 2 * active {
		common := random.NormFloat64()
		for k := range active {
			x[k] = common + random.NormFloat64()*math.Exp(random.NormFloat64())
		}
		for i := range active {
			for j := range active {
				moments[i*n+j] += x[i] * x[j] / float64(2*active)
			}
		}
	}
	return moments
}

// damped returns a copy of moments with what the solver adds, and the addition.
func damped(moments []float64, n int) ([]float64, float64) {
	mean := 0.0
	for k := range n {
		mean += moments[k*n+k] / float64(n)
	}
	sum := append([]float64(nil), moments...)
	for k := range n {
		sum[k*n+k] += Damping * mean
	}
	return sum, Damping * mean
}

// expectedError returns e'He.
func expectedError(moments []float64, weights, decoded []float32) float64 {
	n, sum := len(weights), 0.0
	for i := range n {
		for j := range n {
			sum += (float64(decoded[i]) - float64(weights[i])) * moments[i*n+j] * (float64(decoded[j]) - float64(weights[j]))
		}
	}
	return sum
}

// solve encodes one panel with the solver and by plain rounding and returns both, decoded.
func solve(t *testing.T, encoding format.Encoding, moments []float64, n int, weights []float32) (solved, plain []float32) {
	t.Helper()
	s, err := NewSolver(append([]float64(nil), moments...), n)
	if err != nil {
		t.Fatal(err)
	}
	decode := func(encode func(e *Encoder, dst []byte) error) []float32 {
		e, err := NewEncoder(encoding, rows, n)
		if err != nil {
			t.Fatal(err)
		}
		codes := make([]byte, e.PanelBytes())
		if err := encode(e, codes); err != nil {
			t.Fatal(err)
		}
		m, err := panel.View(encoding, rows, n, append(codes, e.Scales()...))
		if err != nil {
			t.Fatal(err)
		}
		return m.Decode()
	}
	solved = decode(func(e *Encoder, dst []byte) error { return s.EncodePanel(e, dst, 0, weights) })
	plain = decode(func(e *Encoder, dst []byte) error { return e.EncodePanel(dst, 0, weights) })
	return solved, plain
}

// With three inputs that are ever other than zero, every combination of int4 codes can be tried, each
// with the scale that is best for it: the least error there is.
func TestSolverNearBruteForce(t *testing.T) {
	const n, active = groups, 3
	var found, least, plainly float64
	for seed := range uint64(4) {
		moments := correlated(n, active, seed)
		h, _ := damped(moments, n)
		weights := make([]float32, rows*n)
		random := rand.New(rand.NewPCG(seed, 9))
		for r := range rows {
			for k := range active {
				weights[r*n+k] = float32(random.NormFloat64())
			}
		}
		solved, plain := solve(t, format.PanelInt4, moments, n, weights)
		for r := range rows {
			row := weights[r*n : (r+1)*n]
			best := math.Inf(1)
			decoded := make([]float32, n)
			for combination := range 16 * 16 * 16 {
				q := [active]float64{float64(combination%16 - 8), float64(combination/16%16 - 8), float64(combination/256 - 8)}
				var product, square float64
				for i := range active {
					for j := range active {
						product += q[i] * h[i*n+j] * float64(row[j])
						square += q[i] * h[i*n+j] * q[j]
					}
				}
				scale := float64(0)
				if square > 0 {
					scale = float64(float16.ToFloat32(float16.FromFloat32(float32(product / square))))
				}
				for k := range active {
					decoded[k] = float32(q[k] * scale)
				}
				sum := 0.0
				for i := range active {
					for j := range active {
						sum += (float64(decoded[i]) - float64(row[i])) * h[i*n+j] * (float64(decoded[j]) - float64(row[j]))
					}
				}
				best = min(best, sum)
			}
			cost := expectedError(h, row, solved[r*n:(r+1)*n])
			if cost < best*(1-1e-3)-1e-9 {
				t.Errorf("seed %d row %d: error %v, the least possible is %v", seed, r, cost, best)
			}
			found, least, plainly = found+cost, least+best, plainly+expectedError(h, row, plain[r*n:(r+1)*n])
		}
	}
	t.Logf("error %.5f, least possible %.5f, plain rounding %.5f", found, least, plainly)
	if found > 2.5*least || found > 0.6*plainly {
		t.Errorf("error %v, the least possible is %v, plain rounding leaves %v", found, least, plainly)
	}
}

// Inputs that do not go together leave nothing to feed back: int8 is plain rounding then.
func TestSolverWithoutCorrelation(t *testing.T) {
	const n = 3 * groups
	moments := make([]float64, n*n)
	for k := range n {
		moments[k*n+k] = float64(1 + k%7)
	}
	weights := make([]float32, rows*n)
	fill(weights, kinds["gaussian"], 0.02, 3)
	solved, plain := solve(t, format.PanelInt8, moments, n, weights)
	for i := range solved {
		if solved[i] != plain[i] {
			t.Fatalf("weight %d is %v, by plain rounding %v", i, solved[i], plain[i])
		}
	}
}

func TestSolverNeverWorseThanPlain(t *testing.T) {
	const n = 4 * groups
	for name, kind := range kinds {
		for _, encoding := range []format.Encoding{format.PanelInt8, format.PanelInt4} {
			t.Run(fmt.Sprint(name, " ", encoding), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(3) {
					moments := correlated(n, n-int(seed)*50, seed)
					h, _ := damped(moments, n)
					weights := make([]float32, rows*n)
					fill(weights, kind, 0.02, seed)
					solved, plain := solve(t, encoding, moments, n, weights)
					var sum, plainSum float64
					for r := range rows {
						row := weights[r*n : (r+1)*n]
						a, b := expectedError(h, row, solved[r*n:(r+1)*n]), expectedError(h, row, plain[r*n:(r+1)*n])
						if a > b*(1+1e-4)+1e-30 { // the solver compares in float32
							t.Errorf("seed %d row %d: expected error %v, of plain rounding %v", seed, r, a, b)
						}
						sum, plainSum = sum+a, plainSum+b
					}
					if name == "gaussian" && sum > 0.85*plainSum {
						t.Errorf("seed %d: expected error %v, of plain rounding %v", seed, sum, plainSum)
					}
				}
			})
		}
	}
}

// TestFit checks the normal equations: at the minimum, G (H + damping) = targets + damping W.
func TestFit(t *testing.T) {
	const n = 2 * groups
	moments := correlated(n, n-5, 1)
	h, damping := damped(moments, n)
	weights, targets := make([]float32, rows*n), make([]float64, rows*n)
	fill(weights, kinds["gaussian"], 1, 1)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range targets {
		targets[i] = random.NormFloat64()
	}
	s, err := NewSolver(moments, n)
	if err != nil {
		t.Fatal(err)
	}
	fitted := append([]float32(nil), weights...)
	s.Fit(fitted, targets)
	for r := range rows {
		for j := range n {
			got, want := 0.0, targets[r*n+j]+damping*float64(weights[r*n+j])
			for i := range n {
				got += float64(fitted[r*n+i]) * h[i*n+j]
			}
			if math.Abs(got-want) > 1e-4 {
				t.Fatalf("row %d column %d: %v, want %v", r, j, got, want)
			}
		}
	}
	// Targets that the rows meet already leave them where they are.
	for r := range rows {
		for j := range n {
			targets[r*n+j] = 0
			for i := range n {
				targets[r*n+j] += float64(weights[r*n+i]) * (h[i*n+j])
			}
			targets[r*n+j] -= damping * float64(weights[r*n+j])
		}
	}
	fitted = append(fitted[:0], weights...)
	s.Fit(fitted, targets)
	for i, w := range fitted {
		if math.Abs(float64(w-weights[i])) > 1e-4 {
			t.Fatalf("weight %d moved from %v to %v", i, weights[i], w)
		}
	}
}

func TestSolverRefuses(t *testing.T) {
	for name, change := range map[string]func(moments []float64){
		"not a number": func(m []float64) { m[5*groups+5] = math.NaN() },
		"infinite":     func(m []float64) { m[0] = math.Inf(1) },
		"negative":     func(m []float64) { m[7*groups+7] = -1e6 },
		"indefinite":   func(m []float64) { m[1], m[groups] = 1e6, 1e6 },
	} {
		moments := correlated(groups, groups, 1)
		change(moments)
		if _, err := NewSolver(moments, groups); !errors.Is(err, ErrMoments) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Inputs that are always zero are possible, and ask for nothing.
	s, err := NewSolver(make([]float64, groups*groups), groups)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncoder(format.PanelInt4, rows, groups)
	if err != nil {
		t.Fatal(err)
	}
	weights, dst := make([]float32, rows*groups), make([]byte, e.PanelBytes())
	if err := s.EncodePanel(e, dst, 0, weights); err != nil || !bytes.Equal(dst, bytes.Repeat([]byte{0x88}, len(dst))) {
		t.Errorf("zeros are encoded as %x (%v)", dst, err)
	}
	weights[3] = float32(math.NaN())
	if err := s.EncodePanel(e, dst, 0, weights); !errors.As(err, new(*ValueError)) {
		t.Errorf("a weight that is not a number: %v", err)
	}
	if e, err = NewEncoder(format.PanelF16, rows, groups); err != nil {
		t.Fatal(err)
	}
	if err := s.EncodePanel(e, make([]byte, e.PanelBytes()), 0, make([]float32, rows*groups)); err == nil {
		t.Error("f16 was solved")
	}
}
