package quant

import (
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/float16"
)

// sweeps is how often int4 codes and scales are revised; more change little.
const sweeps = 2

// rounding is a panel on its way to codes. Its 16 rows go through the solver's large arrays
// together, so that these are read from memory once and not 16 times.
type rounding struct {
	*Solver
	encoding format.Encoding

	weights  [rows][]float32
	codes    [rows][]float32 // as numbers
	scales   [rows][]float32 // as stored: one for the row (int8) or for each group (int4)
	errors   [rows][]float32 // code * scale - weight
	gradient [rows][]float32 // moments * errors
}

func newRounding(s *Solver, encoding format.Encoding, weights []float32) *rounding {
	n, scales := s.columns, 1
	if encoding == format.PanelInt4 {
		scales = s.columns / groups
	}
	x := &rounding{Solver: s, encoding: encoding}
	for r := range rows {
		x.weights[r] = weights[r*n : (r+1)*n]
		x.scales[r] = make([]float32, scales)
		x.codes[r], x.errors[r], x.gradient[r] = make([]float32, n), make([]float32, n), make([]float32, n)
	}
	return x
}

// nearest rounds as Encoder does.
func (x *rounding) nearest() {
	for r, weights := range x.weights {
		if x.encoding == format.PanelInt8 {
			x.scales[r][0] = searchInt8(weights)
		} else {
			for g := range x.scales[r] {
				x.scales[r][g] = float16.ToFloat32(searchInt4((*[groups]float32)(weights[g*groups:]), &uniform))
			}
		}
		for k, w := range weights {
			x.set(r, k, x.code(r, k, w))
		}
	}
}

// scale returns the scale of a weight.
func (x *rounding) scale(r, k int) float32 {
	if x.encoding == format.PanelInt8 {
		return x.scales[r][0]
	}
	return x.scales[r][k/groups]
}

// code returns the code that stands for what is closest to value at row r and column k.
func (x *rounding) code(r, k int, value float32) float32 {
	steps := float32(value * inverseOf(x.scale(r, k)))
	if x.encoding == format.PanelInt8 {
		return int8Value(min(max(steps, -128), 128))
	}
	return clippedInt4(steps)
}

// clippedInt4 returns the nearest int4 code to any x as a number.
func clippedInt4(x float32) float32 { return int4Value(min(max(x, -9), 8)) }

func (x *rounding) set(r, k int, code float32) {
	x.codes[r][k] = code
	x.errors[r][k] = float32(code*x.scale(r, k)) - x.weights[r][k]
}

func (x *rounding) updateGradient() {
	n := x.columns
	for k := range n {
		moments := x.moments[k*n : (k+1)*n]
		for r := range rows {
			x.gradient[r][k] = dot(moments, x.errors[r])
		}
	}
}

// cost returns the expected squared error of row r's products.
func (x *rounding) cost(r int) float64 {
	sum := 0.0
	for k, e := range x.errors[r] {
		sum += float64(float64(e) * float64(x.gradient[r][k]))
	}
	return sum
}

// feedbackInt8 rounds the columns from the last to the first. The square that belongs to a column is
// pivot^2 (its error + feedback * later errors)^2: it is smallest where the column's value makes up for
// the errors after it.
func (x *rounding) feedbackInt8() {
	for r := range rows {
		x.scales[r][0] = searchInt8(x.weights[r])
	}
	for k := x.columns - 1; k >= 0; k-- {
		for r := range rows {
			x.set(r, k, x.code(r, k, x.target(r, k, k+1)))
		}
	}
}

// feedbackInt4 does so group by group, and tries the scales of a group with the feedback in place.
func (x *rounding) feedbackInt4() {
	var targets [rows][groups]float32
	for first := x.columns - groups; first >= 0; first -= groups {
		for i := range groups {
			for r := range rows {
				targets[r][i] = x.target(r, first+i, first+groups)
			}
		}
		for r := range rows {
			best := x.searchGroup(first, &targets[r], x.weights[r][first:])
			x.scales[r][first/groups] = best.scale
			for i, code := range best.codes {
				x.set(r, first+i, code)
			}
		}
	}
}

// roundedGroup is a way to round 64 columns of a row, and the sum of their squares.
type roundedGroup struct {
	scale float32
	codes [groups]float32
	cost  float32
}

// searchGroup returns the best of some ways to round the weights of the group that begins with
// column first. targets are what they should be for the errors of the groups after it.
func (s *Solver) searchGroup(first int, targets *[groups]float32, weights []float32) roundedGroup {
	var importance [groups]float32
	for i := range importance {
		pivot := float32(s.factor[(first+i)*s.columns+first+i])
		importance[i] = pivot * pivot
	}
	best := s.roundGroup(first, targets, weights, &importance, float16.ToFloat32(searchInt4(targets, &importance)))
	largest := largestOf(targets[:])
	for _, step := range int4Steps {
		scale := float16.ToFloat32(float16.FromFloat32(min(max(largest/step, -float16.Max), float16.Max)))
		if found := s.roundGroup(first, targets, weights, &importance, scale); found.cost < best.cost {
			best = found
		}
	}
	return best
}

func (s *Solver) roundGroup(first int, targets *[groups]float32, weights []float32, importance *[groups]float32, scale float32) roundedGroup {
	g := roundedGroup{scale: scale}
	inverse := inverseOf(scale)
	var errors [groups]float32
	for i := groups - 1; i >= 0; i-- {
		feedback := s.feedback[(first+i)*s.columns+first+i+1:][:groups-1-i]
		target := targets[i] - dot(feedback, errors[i+1:])
		g.codes[i] = clippedInt4(float32(target * inverse))
		value := float32(g.codes[i] * scale)
		errors[i] = value - weights[i]
		residue := value - target
		g.cost += float32(float32(residue*residue) * importance[i])
	}
	return g
}

// target returns what column k of row r should be for the errors of the columns from later on.
func (x *rounding) target(r, k, later int) float32 {
	return x.weights[r][k] - dot(x.feedback[k*x.columns+later:(k+1)*x.columns], x.errors[r][later:])
}

// descendCodes moves single codes to where they are best for all others as they are.
func (x *rounding) descendCodes() {
	n := x.columns
	for k := n - 1; k >= 0; k-- {
		moments := x.moments[k*n : (k+1)*n]
		inverse := 1 / moments[k] // damping keeps it from zero
		for r := range rows {
			before := x.errors[r][k]
			code := x.code(r, k, x.weights[r][k]+before-float32(x.gradient[r][k]*inverse))
			if code != x.codes[r][k] {
				x.set(r, k, code)
				addScaled(x.errors[r][k]-before, moments, x.gradient[r])
			}
		}
	}
}

// descendScales moves the scale of each group to where it is best for all codes as they are.
func (x *rounding) descendScales() {
	n := x.columns
	change := make([]float32, n) // moments * codes of the group: the gradient's, for a scale one larger
	for first := 0; first < n; first += groups {
		for r := range rows {
			codes, g := x.codes[r][first:first+groups], first/groups
			clear(change)
			for i, code := range codes {
				if code != 0 {
					addScaled(code, x.moments[(first+i)*n:(first+i+1)*n], change)
				}
			}
			// The cost for a scale larger by d is cost + 2 d slope + d^2 curvature.
			slope, curvature := dot(codes, x.gradient[r][first:]), dot(codes, change[first:])
			if curvature <= 0 {
				continue
			}
			scale := float16.ToFloat32(float16.FromFloat32(min(max(x.scales[r][g]-slope/curvature, -float16.Max), float16.Max)))
			d := scale - x.scales[r][g]
			if gain := d * (2*slope + float32(d*curvature)); !(gain < 0) { // binary16 has nothing better
				continue
			}
			x.scales[r][g] = scale
			addScaled(d, change, x.gradient[r])
			for i, code := range codes {
				x.errors[r][first+i] = float32(code*scale) - x.weights[r][first+i]
			}
		}
	}
}
