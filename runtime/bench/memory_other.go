//go:build !linux && !darwin

package bench

func resetPeakRSS() {}

// peakRSS is not known on this system.
func peakRSS() int64 { return 0 }
