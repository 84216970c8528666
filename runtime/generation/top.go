package generation

import (
	"math"

	"github.com/tti-llm/tti/kernels"
)

// rank orders tokens by logit, ties to the lower id: the better one is the larger number. It holds
// the bits of the logit, changed such that they compare as numbers, and those of the id, inverted.
type rank uint64

func rankOf(id int32, logit float32) rank {
	bits := math.Float32bits(logit + 0)     // which makes -0 the zero that it equals
	bits ^= uint32(int32(bits)>>31) | 1<<31 // all bits of a negative number, the sign of another
	return rank(bits)<<32 | rank(^uint32(id))
}

func (r rank) id() int32 { return int32(^uint32(r)) }

// keepTop fills ids with the k best tokens.
func (s *Sampler) keepTop(logits []float32, k int) {
	if k > kernels.MaxThreshold {
		s.keepAll(logits)
	} else {
		s.keepReaching(logits, s.kernels.Threshold(logits, k))
	}
	if len(s.ids) > k {
		s.keepBest(logits, k)
	}
}

// keepBest keeps the k best of ids, which ascend. It goes through them once and keeps the best so far in a
// heap, the worst of them first.
func (s *Sampler) keepBest(logits []float32, k int) {
	heap := s.heap[:0]
	for _, id := range s.ids[:k] {
		heap = append(heap, rankOf(id, logits[id]))
	}
	for i := k/2 - 1; i >= 0; i-- {
		sink(heap, i)
	}
	worst := logits[heap[0].id()]
	for _, id := range s.ids[k:] {
		if logit := logits[id]; logit > worst { // later ids lose ties
			heap[0] = rankOf(id, logit)
			sink(heap, 0)
			worst = logits[heap[0].id()]
		}
	}
	for i, r := range heap {
		s.ids[i] = r.id()
	}
	s.ids, s.heap = s.ids[:k], heap
}

// sink restores the order of a heap whose element i may be too good for its place.
func sink(heap []rank, i int) {
	moving := heap[i]
	for {
		child := 2*i + 1
		if child >= len(heap) {
			break
		}
		if next := child + 1; next < len(heap) && heap[next] < heap[child] {
			child = next
		}
		if heap[child] > moving {
			break
		}
		heap[i] = heap[child]
		i = child
	}
	heap[i] = moving
}
