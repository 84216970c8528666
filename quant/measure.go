package quant

import "math"

// Errors says how far decoded weights are from the original ones. The zero value is ready to Add
// to; measures of several matrices can be combined with Merge.
type Errors struct {
	count         int64
	sumError      float64
	sumWeight     float64
	squaredError  float64
	squaredWeight float64
	// Max is the largest absolute error.
	Max float64
}

// Add counts the differences between original and decoded, which have the same length.
func (e *Errors) Add(original, decoded []float32) {
	for i, w := range original {
		weight, difference := float64(w), float64(decoded[i])-float64(w)
		e.sumError += math.Abs(difference)
		e.sumWeight += math.Abs(weight)
		e.squaredError += difference * difference
		e.squaredWeight += weight * weight
		e.Max = max(e.Max, math.Abs(difference))
	}
	e.count += int64(len(original))
}

// Merge adds what other has counted.
func (e *Errors) Merge(other Errors) {
	e.count += other.count
	e.sumError += other.sumError
	e.sumWeight += other.sumWeight
	e.squaredError += other.squaredError
	e.squaredWeight += other.squaredWeight
	e.Max = max(e.Max, other.Max)
}

// Relative returns mean|error| / mean|weight|, 0 for no weights.
func (e *Errors) Relative() float64 { return ratio(e.sumError, e.sumWeight) }

// RMSE returns the root of the mean squared error.
func (e *Errors) RMSE() float64 { return math.Sqrt(ratio(e.squaredError, float64(e.count))) }

// SQNR returns the signal-to-quantization-noise ratio in decibels, +Inf where nothing was lost.
func (e *Errors) SQNR() float64 {
	if e.squaredError == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(e.squaredWeight/e.squaredError)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
