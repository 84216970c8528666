package pool

import (
	"cmp"
	"runtime"
	"slices"
)

// Processors returns how many threads make a team that is as fast as it can be: as many as Go may use processors, or fewer
// where some of these are slow. All threads of a team have equal shares and wait for each other, so a slow processor slows
// down all others.
func Processors() int {
	n := runtime.GOMAXPROCS(0)
	if fast := fastProcessors(); fast > 0 {
		n = min(n, fast)
	}
	return n
}

// fastest returns how many of the fastest processors do most if all have equal shares, by the speeds of all.
func fastest(speeds []int) (count int) {
	speeds = slices.Clone(speeds)
	slices.SortFunc(speeds, func(a, b int) int { return cmp.Compare(b, a) })
	most := 0
	for i, slowest := range speeds {
		if together := (i + 1) * slowest; together >= most {
			count, most = i+1, together
		}
	}
	return count
}
