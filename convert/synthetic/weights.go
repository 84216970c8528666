package synthetic

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/tti-llm/tti/convert/huggingface"
	"github.com/tti-llm/tti/convert/safetensors"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/parallel"
)

// tensor is one tensor to be written: values from a normal distribution.
type tensor struct {
	name      string
	shape     []int
	mean      float64
	deviation float64
}

// tensors lists the weights of a model. Deviations are those GPT-2 is initialized with; biases and
// gains, there 0 and 1, vary too, so that none can be left out unnoticed.
func (m Model) tensors() []tensor {
	var list []tensor
	for t := range m.hyperparameters().Tensors() {
		place := huggingface.GPT2(t)
		w := tensor{name: place.Parts[0].Name, shape: place.Shape(t, place.Parts[0]), deviation: 0.02}
		if t.Role != architecture.Head {
			w.name = m.Prefix + w.name
		}
		switch t.Role {
		case architecture.AttentionNorm, architecture.MLPNorm, architecture.FinalNorm:
			if !t.Bias {
				w.mean = 1
			}
		case architecture.AttentionOutput, architecture.Down: // what is added to the residual stream
			if !t.Bias {
				w.deviation /= math.Sqrt(float64(2 * m.Layers))
			}
		}
		list = append(list, w)
	}
	return list
}

// block is how many values are drawn from one stream of random numbers. Every block has its own, so
// that the bytes do not depend on how many are written at once.
const block = 1 << 18

func writeWeights(ctx context.Context, directory string, m Model) error {
	if m.Type == "" {
		m.Type = safetensors.F32
	}
	if m.Type.Size() == 0 {
		return fmt.Errorf("type %q is not F32, F16 or BF16", m.Type)
	}
	tensors := m.tensors()
	if m.Shards == 0 {
		return writeFile(ctx, filepath.Join(directory, "model.safetensors"), m, tensors)
	}
	files := map[string]string{}
	for shard := range m.Shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", shard+1, m.Shards)
		part := tensors[len(tensors)*shard/m.Shards : len(tensors)*(shard+1)/m.Shards]
		if err := writeFile(ctx, filepath.Join(directory, name), m, part); err != nil {
			return err
		}
		for _, t := range part {
			files[t.name] = name
		}
	}
	return writeJSON(filepath.Join(directory, "model.safetensors.index.json"), map[string]any{"metadata": struct{}{}, "weight_map": files})
}

// writeFile writes one safetensors file, its blocks in parallel.
func writeFile(ctx context.Context, path string, m Model, tensors []tensor) error {
	targets := make([]safetensors.Tensor, len(tensors))
	for i, t := range tensors {
		targets[i] = safetensors.Tensor{Name: t.name, Shape: t.shape}
	}
	layout, err := safetensors.NewLayout(m.Type, targets)
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
			jobs = append(jobs, job{t, first, min(block, targets[i].Values()-first), layout.Offsets[i] + int64(first*m.Type.Size())})
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
		values := j.tensor.draw(m, j.first, j.count)
		content := make([]byte, len(values)*m.Type.Size())
		m.Type.Encode(content, values)
		_, err := f.WriteAt(content, j.offset)
		return err
	})
	if err != nil {
		return err
	}
	return f.Close()
}

// draw returns the values of one block; first is the position of its first value in the tensor.
func (t tensor) draw(m Model, first, count int) []float32 {
	name := fnv.New64a()
	name.Write([]byte(strings.TrimPrefix(t.name, m.Prefix)))
	random := rand.New(rand.NewPCG(m.Seed, name.Sum64()+uint64(first)))
	values := make([]float32, count)
	for i := range values {
		values[i] = float32(t.mean + t.deviation*random.NormFloat64())
	}
	return values
}
