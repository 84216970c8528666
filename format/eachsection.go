package format

import (
	"cmp"
	"context"
	"slices"

	"github.com/tti-llm/tti/format/parallel"
	"github.com/tti-llm/tti/format/progress"
)

// chunkSize is how much is read or written between two looks at the context: large against the
// cost of looking, small against a second.
const chunkSize = 1 << 20

// forEachSection is parallel.Each for all sections. The largest come first, so that all goroutines
// finish at about the same time.
func forEachSection(ctx context.Context, workers int, sections []Section, work func(ctx context.Context, i int) error) error {
	order := make([]int, len(sections))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(sections[b].Length, sections[a].Length)
	})
	return parallel.Each(ctx, workers, len(order), func(ctx context.Context, place int) error {
		return work(ctx, order[place])
	})
}

// newMeter returns a meter for the contents of the sections.
func newMeter(sections []Section, report func(done, total int64)) *progress.Meter {
	total := int64(0)
	for _, s := range sections {
		total += s.Length
	}
	return progress.NewMeter(total, report)
}
