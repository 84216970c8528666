package synthetic

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/tti-llm/tti/convert/safetensors"
	"github.com/tti-llm/tti/format/parallel"
)

// tensor is one tensor to be written: values from a normal distribution.
type tensor struct {
	name      string
	plain     string // the name without a prefix, by which the values are drawn
	shape     []int
	mean      float64
	deviation float64
}

// block is how many values are drawn from one stream of random numbers. Every block has its own, so
// that the bytes do not depend on how many are written at once.
const block = 1 << 18

func (d directory) writeWeights(ctx context.Context, folder string) error {
	if d.dtype.Size() == 0 {
		return fmt.Errorf("type %q is not F32, F16 or BF16", d.dtype)
	}
	if d.shards == 0 {
		return d.writeFile(ctx, filepath.Join(folder, "model.safetensors"), d.tensors)
	}
	files := map[string]string{}
	for shard := range d.shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", shard+1, d.shards)
		part := d.tensors[len(d.tensors)*shard/d.shards : len(d.tensors)*(shard+1)/d.shards]
		if err := d.writeFile(ctx, filepath.Join(folder, name), part); err != nil {
			return err
		}
		for _, t := range part {
			files[t.name] = name
		}
	}
	return writeJSON(filepath.Join(folder, "model.safetensors.index.json"), map[string]any{"metadata": struct{}{}, "weight_map": files})
}

// writeFile writes one safetensors file, its blocks in parallel.
func (d directory) writeFile(ctx context.Context, path string, tensors []tensor) error {
	targets := make([]safetensors.Tensor, len(tensors))
	for i, t := range tensors {
		targets[i] = safetensors.Tensor{Name: t.name, Shape: t.shape}
	}
	layout, err := safetensors.NewLayout(d.dtype, targets)
	if err != nil {
		return err
	}
	type job struct {
		tensor       tensor
		first, count int   // values
		offset       int64 // of the first one
	}
	var jobs []job
	for i, t := range tensors {
		for first := 0; first < targets[i].Values(); first += block {
			jobs = append(jobs, job{t, first, min(block, targets[i].Values()-first), layout.Offsets[i] + int64(first*d.dtype.Size())})
		}
	}

	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(layout.Header); err != nil {
		return err
	}
	err = parallel.Each(ctx, 0, len(jobs), func(_ context.Context, i int) error {
		j := jobs[i]
		values := j.tensor.draw(d.seed, j.first, j.count)
		content := make([]byte, len(values)*d.dtype.Size())
		d.dtype.Encode(content, values)
		_, err := f.WriteAt(content, j.offset)
		return err
	})
	if err != nil {
		return err
	}
	return f.Close()
}

// draw returns the values of one block; first is the position of its first value in the tensor.
func (t tensor) draw(seed uint64, first, count int) []float32 {
	name := fnv.New64a()
	name.Write([]byte(t.plain))
	random := rand.New(rand.NewPCG(seed, name.Sum64()+uint64(first)))
	values := make([]float32, count)
	for i := range values {
		values[i] = float32(t.mean + t.deviation*random.NormFloat64())
	}
	return values
}
