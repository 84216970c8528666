package bench

import "syscall"

// resetPeakRSS does nothing: this system's peak is that of the whole life of the process.
func resetPeakRSS() bool { return false }

// peakRSS returns the most memory that was resident, in bytes, 0 if that is not known.
func peakRSS() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Maxrss
}
