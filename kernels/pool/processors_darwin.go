package pool

import "golang.org/x/sys/unix"

// fastProcessors asks macOS for the number of performance cores. Efficiency cores have a third of their speed or less. Where
// there is one kind only, the result is 0.
func fastProcessors() int {
	count, err := unix.SysctlUint32("hw.perflevel0.logicalcpu")
	if err != nil {
		return 0
	}
	return int(count)
}
