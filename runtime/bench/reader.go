package bench

import (
	"sync/atomic"
	"time"

	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/kernels"
	"github.com/tti-llm/tti/kernels/pool"
	"github.com/tti-llm/tti/runtime"
)

// reader reads the weights as a pass over one token does, each thread its share of every matrix,
// and does nothing with them.
type reader struct {
	weights [][]byte
	bytes   int64 // of all weights
	passes  int   // that one measurement takes
	kernels *kernels.Set
	pool    *pool.Pool
	sink    atomic.Uint64 // what was read: a result, so that reading is not for nothing
}

const (
	// readBytes is the least that one measurement reads, for its clock to be precise.
	readBytes = 1 << 30
	// readUnit is what shares of a matrix are multiples of.
	readUnit = 4096
)

// weights returns the mapped sections of every matrix that the pass of one token reads from one end to the other: nearly
// all that decoding reads, the cache apart.
func weights(model *runtime.Model) ([][]byte, error) {
	h, err := architecture.Parse(model.Meta().Architecture, model.Meta().Hyperparameters)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for t := range architecture.Streamed(h) {
		section, _ := model.File().Section(t.Name) // opening the model has found it
		all = append(all, model.File().Bytes(section))
	}
	return all, nil
}

func newReader(weights [][]byte, set *kernels.Set, threads int) *reader {
	r := &reader{weights: weights, kernels: set, pool: pool.New(threads)}
	for _, w := range weights {
		r.bytes += int64(len(w))
	}
	r.passes = int((readBytes + r.bytes - 1) / r.bytes)
	return r
}

func (r *reader) close() { r.pool.Close() }

// measure returns the time of one pass in seconds.
func (r *reader) measure() (float64, error) {
	start := time.Now()
	err := r.pool.Run(func(w *pool.Worker) { r.sink.Store(r.read(w)) })
	return time.Since(start).Seconds() / float64(r.passes), err
}

// read returns the exclusive or of what this thread has read.
func (r *reader) read(w *pool.Worker) uint64 {
	sum := uint64(0)
	for range r.passes {
		for _, weights := range r.weights {
			first, last := w.Split(len(weights), readUnit)
			sum ^= r.kernels.Read(weights[first:last])
		}
	}
	return sum
}
