package quant

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/lapack/gonum"

	"github.com/tti-llm/tti/format"
)

// Knobs are experiments.
type Knobs struct {
	Damping   float64
	Order     int // 0 sequence, 1 groups and columns by diag descending, 2: only within groups
	Sweeps    int
	Trials    int
	Int8Sweep bool
	GPTQ      bool
}

var K = Knobs{Damping: 0.01, Order: 1, Sweeps: 2, Trials: 16, GPTQ: true}

// ErrMoments is returned for second moments that are none.
var ErrMoments = errors.New("second moments are not positive semidefinite")

// Solver rounds the rows of one matrix so that its products with typical inputs change little.
type Solver struct {
	columns  int       // padded
	order    []int     // column of each step
	feedback []float32 // [step, earlier step]
	pivots   []float32 // by step
	moments  []float32 // [column, column], damped
	Only     int
}

// NewSolver: moments [columns, columns], padded columns; overwritten.
func NewSolver(moments []float64, columns int) (*Solver, error) {
	n := columns
	if n%groups != 0 || len(moments) != n*n {
		panic(fmt.Sprintf("quant: %d moments of %d columns", len(moments), n))
	}
	mean := 0.0
	for k := range n {
		mean += moments[k*n+k]
	}
	mean /= float64(n)
	if !(mean >= 0 && mean <= math.MaxFloat32) {
		return nil, ErrMoments
	}
	if mean == 0 {
		mean = 1
	}
	s := &Solver{Only: -1, columns: n, moments: make([]float32, n*n), feedback: make([]float32, n*n), pivots: make([]float32, n)}
	for k := range n {
		moments[k*n+k] += K.Damping * mean
	}
	for i, m := range moments {
		s.moments[i] = float32(m / mean)
	}
	s.order = ordering(moments, n)
	a := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			a[i*n+j] = moments[s.order[n-1-i]*n+s.order[n-1-j]] / mean
		}
	}
	if !(gonum.Implementation{}).Dpotrf(blas.Lower, n, a, n) {
		return nil, ErrMoments
	}
	for step := range n {
		k := n - 1 - step
		pivot := a[k*n+k]
		s.pivots[step] = float32(pivot * pivot)
		for earlier := range step {
			s.feedback[step*n+earlier] = float32(a[(n-1-earlier)*n+k] / pivot)
		}
	}
	return s, nil
}

func ordering(moments []float64, n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if K.Order == 0 {
		return order
	}
	diag := func(k int) float64 { return moments[k*n+k] }
	var blocks [][]int
	for b := range slices.Chunk(order, groups) {
		slices.SortStableFunc(b, func(i, j int) int { return compare(diag(j), diag(i)) })
		blocks = append(blocks, slices.Clone(b))
	}
	if K.Order == 1 {
		sum := func(b []int) (s float64) {
			for _, k := range b {
				s += diag(k)
			}
			return s
		}
		slices.SortStableFunc(blocks, func(a, b []int) int { return compare(sum(b), sum(a)) })
	}
	return slices.Concat(blocks...)
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// row is one row being rounded.
type row struct {
	weights []float32
	codes   []float32 // as numbers
	scales  []float32 // int4: per group; int8: one
	delta   []float32 // codes*scale - weights
	grad    []float32
}

func newRow(w []float32, scales int) *row {
	n := len(w)
	return &row{weights: w, codes: make([]float32, n), scales: make([]float32, scales), delta: make([]float32, n), grad: make([]float32, n)}
}

func (x *row) scale(k int) float32 {
	if len(x.scales) == 1 {
		return x.scales[0]
	}
	return x.scales[k/groups]
}

// Stats of the last encodes, for experiments.
type Stats struct{ Plain, GPTQ, Refined float64 }

// EncodePanel encodes panel p.
func (s *Solver) EncodePanel(e *Encoder, dst []byte, p int, weights []float32) (Stats, error) {
	if err := e.check(p, weights); err != nil {
		return Stats{}, err
	}
	var st Stats
	n := s.columns
	int4 := e.encoding == format.PanelInt4
	rowsLeft := min(rows, e.rows-p*rows)
	for i := range dst {
		if s.Only > 0 {
			break
		}
		dst[i] = 0x80
		if int4 {
			dst[i] = 0x88
		}
	}
	for r := range rowsLeft {
		if s.Only >= 0 && r != s.Only {
			continue
		}
		w := weights[r*n : (r+1)*n]
		count := 1
		if int4 {
			count = n / groups
		}
		plain := newRow(w, count)
		plainRound(plain, int4)
		s.gradient(plain)
		best, cost := plain, plain.cost()
		st.Plain += cost
		if K.GPTQ {
			x := newRow(w, count)
			if int4 {
				s.roundInt4(x)
			} else {
				s.roundInt8(x)
			}
			s.gradient(x)
			c := x.cost()
			st.GPTQ += c
			if int4 || K.Int8Sweep {
				for range K.Sweeps {
					s.sweep(x, int4)
					if int4 {
						s.refit(x)
					}
				}
				s.gradient(x)
				c = x.cost()
			}
			st.Refined += c
			if c < cost {
				best, cost = x, c
			}
		}
		best.pack(e, dst, p, r, int4)
	}
	return st, nil
}

func (x *row) pack(e *Encoder, dst []byte, p, r int, int4 bool) {
	perRow := e.padded / groups
	if !int4 {
		binary.LittleEndian.PutUint32(e.scales[(p*rows+r)*4:], math.Float32bits(x.scales[0]))
		for k, q := range x.codes {
			dst[k/4*64+r*4+k%4] = byte(int(q) + int8Offset)
		}
		return
	}
	for g, sc := range x.scales {
		binary.LittleEndian.PutUint16(e.scales[((p*perRow+g)*rows+r)*2:], Float16(sc))
	}
	for k, q := range x.codes {
		at := k/8*64 + r*4 + k%4
		c := byte(int(q) + int4Offset)
		if k%8 >= 4 {
			dst[at] = dst[at]&0x0f | c<<4
		} else {
			dst[at] = dst[at]&0xf0 | c
		}
	}
}

func plainRound(x *row, int4 bool) {
	if int4 {
		for g := range x.scales {
			x.scales[g] = Float32(searchInt4((*[groups]float32)(x.weights[g*groups:]), &uniform))
		}
	} else {
		x.scales[0] = searchInt8(x.weights)
	}
	for k, w := range x.weights {
		x.codes[k] = nearestCode(w, x.scale(k), int4)
		x.delta[k] = float32(x.codes[k]*x.scale(k)) - w
	}
}

func nearestCode(w, scale float32, int4 bool) float32 {
	if scale == 0 {
		return 0
	}
	q := float32(math.RoundToEven(float64(w / scale)))
	if int4 {
		return min(max(q, -8), 7)
	}
	return min(max(q, -127), 127)
}

func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float32(a[i] * b[i])
		s1 += float32(a[i+1] * b[i+1])
		s2 += float32(a[i+2] * b[i+2])
		s3 += float32(a[i+3] * b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float32(a[i] * b[i])
	}
	return s0 + s1 + s2 + s3
}

func axpy(a float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float32(a * v)
	}
}

func (s *Solver) gradient(x *row) {
	n := s.columns
	for k := range n {
		x.grad[k] = dot(s.moments[k*n:(k+1)*n], x.delta)
	}
}

func (x *row) cost() (c float64) {
	for k, d := range x.delta {
		c += float64(d) * float64(x.grad[k])
	}
	return c
}

func (s *Solver) roundInt8(x *row) {
	n := s.columns
	x.scales[0] = searchInt8(x.weights)
	deltas := make([]float32, n) // by step
	for step, k := range s.order {
		u := dot(s.feedback[step*n:step*n+step], deltas[:step])
		w := x.weights[k] - u
		x.codes[k] = nearestCode(w, x.scales[0], false)
		x.delta[k] = float32(x.codes[k]*x.scales[0]) - x.weights[k]
		deltas[step] = x.delta[k]
	}
}

func (s *Solver) roundInt4(x *row) {
	n := s.columns
	deltas := make([]float32, n) // by step
	var target, pivots, trial, importance [groups]float32
	var bestCodes, codes [groups]float32
	for first := 0; first < n; first += groups {
		g := s.order[first] / groups
		for i := range groups {
			step := first + i
			target[i] = x.weights[s.order[step]] - dot(s.feedback[step*n:step*n+first], deltas[:first])
			pivots[i] = s.pivots[step]
			importance[i] = pivots[i]
		}
		run := func(scale float32) float32 {
			trial = target
			var cost float32
			for i := range groups {
				q := nearestCode(trial[i], scale, true)
				codes[i] = q
				e := float32(q*scale) - trial[i] // rounding error proper
				cost += float32(float32(e*e) * pivots[i])
				d := float32(q*scale) - x.weights[s.order[first+i]]
				for j := i + 1; j < groups; j++ {
					trial[j] -= float32(s.feedback[(first+j)*n+first+i] * d)
				}
			}
			return cost
		}
		// deltas within group: d relative to weights, but target already subtracts earlier; trial[j] subtracts F*d with d=Δ
		var bestScale float32
		bestCost := float32(math.Inf(1))
		try := func(scale float32) {
			scale = Float32(Float16(scale))
			if c := run(scale); c < bestCost {
				bestCost, bestScale, bestCodes = c, scale, codes
			}
		}
		if K.Trials == 0 {
			try(Float32(searchInt4(&target, &importance)))
		} else {
			base := Float32(searchInt4(&target, &importance))
			try(base)
			largest := largestOf(target[:])
			for t := range K.Trials {
				st := int4Steps[t*len(int4Steps)/K.Trials]
				try(largest / st)
			}
		}
		x.scales[g] = bestScale
		for i := range groups {
			k := s.order[first+i]
			x.codes[k] = bestCodes[i]
			x.delta[k] = float32(bestCodes[i]*bestScale) - x.weights[k]
			deltas[first+i] = x.delta[k]
		}
	}
}

// sweep improves single codes.
func (s *Solver) sweep(x *row, int4 bool) {
	n := s.columns
	for _, k := range s.order {
		scale := x.scale(k)
		if scale == 0 {
			continue
		}
		want := x.weights[k] + x.delta[k] - x.grad[k]/s.moments[k*n+k]
		q := nearestCode(want, scale, int4)
		if q == x.codes[k] {
			continue
		}
		x.codes[k] = q
		d := float32(q*scale) - x.weights[k]
		axpy(d-x.delta[k], s.moments[k*n:(k+1)*n], x.grad)
		x.delta[k] = d
	}
}

// refit improves scales.
func (s *Solver) refit(x *row) {
	n := s.columns
	hq := make([]float32, n)
	for g := range x.scales {
		first := g * groups
		codes := x.codes[first : first+groups]
		clear(hq)
		for i, q := range codes {
			if q != 0 {
				axpy(q, s.moments[(first+i)*n:(first+i+1)*n], hq)
			}
		}
		num, den := dot(codes, x.grad[first:first+groups]), dot(codes, hq[first:first+groups])
		if den <= 0 {
			continue
		}
		scale := Float32(Float16(x.scales[g] - num/den))
		change := scale - x.scales[g]
		if change == 0 || change*(2*num+change*den) >= 0 {
			continue
		}
		x.scales[g] = scale
		axpy(change, hq, x.grad)
		for i, q := range codes {
			x.delta[first+i] = float32(q*scale) - x.weights[first+i]
		}
	}
}
