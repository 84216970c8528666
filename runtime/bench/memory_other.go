//go:build !linux && !darwin

package bench

func resetPeakRSS() bool { return false }

// peakRSS is not known on this system.
func peakRSS() int64 { return 0 }
