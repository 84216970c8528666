package synthetic

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tti-llm/tti/format/parallel"
)

// tensor is one tensor to be written: values from a normal distribution.
type tensor struct {
	name      string
	shape     []int
	mean      float64
	deviation float64
}

func (t tensor) values() int {
	n := 1
	for _, dimension := range t.shape {
		n *= dimension
	}
	return n
}

// tensors lists the weights of a model. Deviations are those GPT-2 is initialized with; biases and
// gains, there 0 and 1, vary too, so that none can be left out unnoticed.
func (m Model) tensors() []tensor {
	n, inner := m.Embedding, m.inner()
	const deviation = 0.02
	residual := deviation / math.Sqrt(float64(2*m.Layers))
	list := []tensor{
		{"wte.weight", []int{m.Vocabulary, n}, 0, deviation},
		{"wpe.weight", []int{m.Positions, n}, 0, deviation},
	}
	for layer := range m.Layers {
		for _, t := range []tensor{
			{"ln_1.weight", []int{n}, 1, deviation},
			{"ln_1.bias", []int{n}, 0, deviation},
			{"attn.c_attn.weight", []int{n, 3 * n}, 0, deviation},
			{"attn.c_attn.bias", []int{3 * n}, 0, deviation},
			{"attn.c_proj.weight", []int{n, n}, 0, residual},
			{"attn.c_proj.bias", []int{n}, 0, deviation},
			{"ln_2.weight", []int{n}, 1, deviation},
			{"ln_2.bias", []int{n}, 0, deviation},
			{"mlp.c_fc.weight", []int{n, inner}, 0, deviation},
			{"mlp.c_fc.bias", []int{inner}, 0, deviation},
			{"mlp.c_proj.weight", []int{inner, n}, 0, residual},
			{"mlp.c_proj.bias", []int{n}, 0, deviation},
		} {
			t.name = fmt.Sprintf("h.%d.%s", layer, t.name)
			list = append(list, t)
		}
	}
	list = append(list, tensor{"ln_f.weight", []int{n}, 1, deviation}, tensor{"ln_f.bias", []int{n}, 0, deviation})
	for i := range list {
		list[i].name = m.Prefix + list[i].name
	}
	if m.Untied {
		list = append(list, tensor{"lm_head.weight", []int{m.Vocabulary, n}, 0, deviation})
	}
	return list
}

// types are the element types a model can be written in.
var types = map[string]struct {
	size int
	put  func(dst []byte, x float32)
}{
	"F32":  {4, func(dst []byte, x float32) { binary.LittleEndian.PutUint32(dst, math.Float32bits(x)) }},
	"BF16": {2, func(dst []byte, x float32) { binary.LittleEndian.PutUint16(dst, uint16(math.Float32bits(x)>>16)) }},
	"F16":  {2, func(dst []byte, x float32) { binary.LittleEndian.PutUint16(dst, float16(x)) }},
}

// float16 cuts x down to a binary16: good enough for values that are random anyway. What is too
// small for a normal number becomes zero.
func float16(x float32) uint16 {
	bits := math.Float32bits(x)
	if bits&0x7fffffff < 0x38800000 {
		return 0
	}
	return uint16(bits>>16&0x8000) | uint16((bits&0x7fffffff-0x38000000)>>13)
}

// block is how many values are drawn from one stream of random numbers. Every block has its own, so
// that the bytes do not depend on how many are written at once.
const block = 1 << 18

func writeWeights(ctx context.Context, directory string, m Model) error {
	if m.Type == "" {
		m.Type = "F32"
	}
	if _, ok := types[m.Type]; !ok {
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
	type entry struct {
		Type    string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	type job struct {
		tensor       tensor
		first, count int // values
		offset       int // bytes from the end of the header
	}
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var jobs []job
	size, end := types[m.Type].size, 0
	for _, t := range tensors {
		for first := 0; first < t.values(); first += block {
			jobs = append(jobs, job{t, first, min(block, t.values()-first), end + first*size})
		}
		header[t.name] = entry{m.Type, t.shape, [2]int{end, end + t.values()*size}}
		end += t.values() * size
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	text = append(text, strings.Repeat(" ", -len(text)&7)...)
	start := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)

	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(start); err != nil {
		return err
	}

	buffers := sync.Pool{New: func() any { return make([]byte, block*size) }}
	err = parallel.Each(ctx, 0, len(jobs), func(_ context.Context, i int) error {
		buffer := buffers.Get().([]byte)
		defer buffers.Put(buffer)
		j := jobs[i]
		j.tensor.fill(buffer[:j.count*size], m, j.first)
		_, err := f.WriteAt(buffer[:j.count*size], int64(len(start)+j.offset))
		return err
	})
	if err != nil {
		return err
	}
	return f.Close()
}

// fill draws the values of one block; first is the position of its first value in the tensor.
func (t tensor) fill(dst []byte, m Model, first int) {
	name := fnv.New64a()
	name.Write([]byte(strings.TrimPrefix(t.name, m.Prefix)))
	random := rand.New(rand.NewPCG(m.Seed, name.Sum64()+uint64(first)))
	element := types[m.Type]
	for ; len(dst) > 0; dst = dst[element.size:] {
		element.put(dst, float32(t.mean+t.deviation*random.NormFloat64()))
	}
}
