package runtime_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/runtime"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
)

// sparseModel writes a GPT-2 whose tensors are holes in the file, so that it takes no room on most
// disks, by the letter of FORMAT.md. Its vocabulary is the fable's. The checksums of tensors are wrong. Before the
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

	type section struct {
		name     string
		kind     format.Kind
		flags    uint32
		encoding format.Encoding
		shape    []int
		content  []byte
	}
	tokenizerBytes := bytes.Clone(fable.File().Bytes(vocabulary))
	const required = 1
	sections := []section{
		{format.MetaName, format.KindMeta, required, format.Bytes, []int{len(metaBytes)}, metaBytes},
		{format.TokenizerName, format.KindTokenizer, required, format.Bytes, []int{len(tokenizerBytes)}, tokenizerBytes},
		{"hole", 99, 0, format.Bytes, []int{hole}, nil},
	}
	for t := range parameters.Tensors() {
		encoding := format.Float32
		if t.IsMatrix() {
			encoding = format.PanelF32
		}
		sections = append(sections, section{t.Name, format.KindTensor, required, encoding, t.Shape, nil})
	}

	path := filepath.Join(t.TempDir(), "sparse.tti")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var index []byte
	end := int64(64 + 128*len(sections))
	for _, s := range sections {
		offset := (end + 63) / 64 * 64
		length, err := s.encoding.Size(s.shape)
		if err != nil {
			t.Fatal(err)
		}
		record := make([]byte, 128)
		for i, number := range []uint64{uint64(offset), uint64(length), xxhash.Sum64(s.content)} {
			binary.LittleEndian.PutUint64(record[8*i:], number)
		}
		for i, number := range []uint32{uint32(s.kind), s.flags, uint32(s.encoding), uint32(len(s.shape))} {
			binary.LittleEndian.PutUint32(record[24+4*i:], number)
		}
		for i, dimension := range s.shape {
			binary.LittleEndian.PutUint64(record[40+8*i:], uint64(dimension))
		}
		copy(record[72:], s.name)
		index = append(index, record...)
		if _, err := file.WriteAt(s.content, offset); err != nil {
			t.Fatal(err)
		}
		end = offset + length
	}
	header := []byte{0x89, 'T', 'T', 'I', '\r', '\n', 0x1a, '\n', 1, 0, 0, 0, 0, 0, 0, 0}
	for _, number := range []uint64{uint64(end), 64, uint64(len(index)), xxhash.Sum64(index), 0} {
		header = binary.LittleEndian.AppendUint64(header, number)
	}
	header = binary.LittleEndian.AppendUint64(header, xxhash.Sum64(header))
	if _, err := file.WriteAt(append(header, index...), 0); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(end); err != nil {
		t.Skipf("no room for %d bytes: %v", end, err)
	}
	return path
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

// TestDecodesBeyond4GiB runs a token through weights whose offsets do not fit 32 bits.
// TestDecodesBeyond4GiB has all tensors where an offset of 32 bits cannot lead.
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
