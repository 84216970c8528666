// Package statistics sums measured values up.
package statistics

import "slices"

// Quantile returns the value that the given share of the values lies below, on the line between two of them; 0 if there are
// none.
func Quantile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	place := share * float64(len(sorted)-1)
	below := int(place)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (place-float64(below))*(sorted[above]-sorted[below])
}

// Median returns the value in the middle, or halfway between the two in the middle; 0 if there are no values.
func Median(values []float64) float64 { return Quantile(values, 0.5) }
