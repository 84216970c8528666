package pool

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fastProcessors asks Linux for the capacities of the processors that the process may run on. It knows them on machines with
// several kinds; elsewhere the result is 0.
func fastProcessors() int {
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return 0
	}
	return fastest(capacities(os.DirFS("/sys/devices/system/cpu"), allowed.IsSet))
}

// capacities returns how fast the processors that may be used are, the fastest of the machine having 1,024; none if that is not
// known of all.
func capacities(folder fs.FS, allowed func(processor int) bool) (list []int) {
	const most = 1024 // as a set of processors has
	for i := range most {
		if !allowed(i) {
			continue
		}
		text, err := fs.ReadFile(folder, fmt.Sprintf("cpu%d/cpu_capacity", i))
		if err != nil {
			return nil
		}
		capacity, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil
		}
		list = append(list, capacity)
	}
	return list
}
