package bench

import (
	"bufio"
	"fmt"
	"os"
)

// resetPeakRSS lets the peak begin anew and reports whether the kernel allows it; see proc(5), clear_refs.
func resetPeakRSS() bool { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil }

// peakRSS returns the most memory that was resident, in bytes, 0 if that is not known.
func peakRSS() int64 {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		var kibibytes int64
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kibibytes); n == 1 {
			return kibibytes << 10
		}
	}
	return 0
}
