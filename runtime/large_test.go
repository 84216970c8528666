package runtime_test

import (
	"bytes"
	"encoding/json"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/sparsetest"
	"github.com/tti-llm/tti/runtime"
)

// sparseModel writes a GPT-2 whose tensors are holes in the file, so that it takes no room on most
// disks. Its vocabulary is the fable's. The checksums of tensors are wrong. Before the
// tensors lies a hole of that many bytes, at least one, in a section that no reader knows.
func sparseModel(t *testing.T, layers, embedding, hole int) string {
	t.Helper()
	fable := open(t, modelFile(t, "fable-draft", convert.Options{Mode: convert.F32}))
	vocabulary, _ := fable.File().Section(format.TokenizerName)
	meta := fable.Meta()
	var parameters architecture.GPT2
	if err := json.Unmarshal(meta.Hyperparameters, &parameters); err != nil {
		t.Fatal(err)
	}
	parameters.Layers, parameters.Embedding, parameters.Hidden, parameters.Heads = layers, embedding, 4*embedding, embedding/64
	hyperparameters, err := json.Marshal(parameters)
	if err != nil {
		t.Fatal(err)
	}
	meta.Hyperparameters = hyperparameters
	metaBytes, err := meta.Encode()
	if err != nil {
		t.Fatal(err)
	}

	tokenizerBytes := bytes.Clone(fable.File().Bytes(vocabulary))
	whole := func(name string, kind format.Kind, content []byte) sparsetest.Section {
		return sparsetest.Section{Section: format.Section{Name: name, Kind: kind, Encoding: format.Bytes, Shape: []int{len(content)}}, Content: content}
	}
	sections := []sparsetest.Section{
		whole(format.MetaName, format.KindMeta, metaBytes), whole(format.TokenizerName, format.KindTokenizer, tokenizerBytes),
		{Section: format.Section{Name: "hole", Kind: 99, Optional: true, Encoding: format.Bytes, Shape: []int{hole}}},
	}
	for t := range parameters.Tensors() {
		encoding := format.Float32
		if t.IsMatrix() {
			encoding = format.PanelF32
		}
		sections = append(sections, sparsetest.Section{Section: format.Section{Name: t.Name, Kind: format.KindTensor, Encoding: encoding, Shape: t.Shape}})
	}
	return sparsetest.Write(t, sections)
}

// TestOpenTakesNoMemoryForWeights opens models of 0.2 GB and 4.5 GB. What a model allocates besides
// its weights grows with the width of its layers alone.
func TestOpenTakesNoMemoryForWeights(t *testing.T) {
	allocated := func(path string) uint64 {
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		start := time.Now()
		m, err := runtime.Open(path, runtime.WithoutVerify(), runtime.WithThreads(runtime.NewThreads(1)))
		if err != nil {
			t.Fatal(err)
		}
		elapsed := time.Since(start)
		goruntime.ReadMemStats(&after)
		t.Logf("%d bytes: opened in %v, %d bytes allocated", m.File().Size(), elapsed, after.TotalAlloc-before.TotalAlloc)
		m.Close()
		return after.TotalAlloc - before.TotalAlloc
	}
	const embedding = 2048
	small, large := allocated(sparseModel(t, 1, embedding, 1)), allocated(sparseModel(t, 22, embedding, 1))
	if perLayer := int64(large-small) / 21; perLayer > 201<<20/1000 { // biases and norms are copied
		t.Errorf("each further layer of 201 MB allocates %d bytes", perLayer)
	}
}

// TestDecodesBeyond4GiB runs a token through weights, all of which lie where an offset of 32 bits cannot lead.
func TestDecodesBeyond4GiB(t *testing.T) {
	m := open(t, sparseModel(t, 2, 128, 1<<32), runtime.WithoutVerify())
	if s, ok := m.File().Section("wte.weight"); !ok || s.Offset <= 1<<32 {
		t.Fatalf("the first tensor lies at %d", s.Offset)
	}
	logits, err := session(t, m).Append([]int32{1})
	if err != nil {
		t.Fatal(err)
	}
	for id, logit := range logits {
		if logit != 0 { // all weights are zero
			t.Fatalf("logit %d is %v", id, logit)
		}
	}
}
