package format

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tti-llm/tti/format/progress"
)

// chunkSize is how much is read or written between two looks at the context: large against the
// cost of looking, small against a second.
const chunkSize = 1 << 20

// forEachSection calls work with the position of every section, from as many goroutines as asked
// for (0: all cores), until ctx is done. The largest sections come first, so that all goroutines
// finish at about the same time.
func forEachSection(ctx context.Context, workers int, sections []Section, work func(i int)) {
	order := make([]int, len(sections))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(sections[b].Length, sections[a].Length)
	})
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers, len(order)) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(order) {
					return
				}
				work(order[i])
			}
		})
	}
	group.Wait()
}

// newMeter returns a meter for the contents of the sections.
func newMeter(sections []Section, report func(done, total int64)) *progress.Meter {
	total := int64(0)
	for _, s := range sections {
		total += s.Length
	}
	return progress.NewMeter(total, report)
}
