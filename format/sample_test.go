package format

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// container is what a file is written from.
type container struct {
	sections []Section
	contents [][]byte
}

// newSample is a small file of every kind and encoding, with gaps of several lengths and an
// optional section of a kind this version does not know.
func newSample(t testing.TB) container {
	t.Helper()
	meta, err := sampleMeta().Encode()
	if err != nil {
		t.Fatal(err)
	}
	var s container
	random := rand.NewChaCha8([32]byte{7})
	add := func(name string, kind Kind, optional bool, encoding Encoding, shape ...int) {
		size, err := encoding.Size(shape)
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, size)
		random.Read(content)
		s.sections = append(s.sections, Section{Name: name, Kind: kind, Optional: optional, Encoding: encoding, Shape: shape})
		s.contents = append(s.contents, content)
	}
	add(MetaName, KindMeta, false, Bytes, len(meta))
	s.contents[0] = meta
	add(TokenizerName, KindTokenizer, false, Bytes, 65)
	add("ln_f.weight", KindTensor, false, Float32, 5)
	add("cube", KindTensor, true, Float32, 2, 1, 2, 3)
	add("q4", KindTensor, false, PanelInt4, 1, 1)
	add("q8", KindTensor, false, PanelInt8, 3, 5)
	add("f16", KindTensor, false, PanelF16, 1, 64)
	add("f32", KindTensor, false, PanelF32, 16, 7)
	add("später", 77, true, Bytes, 1)
	return s
}

// newExample is the file at the end of FORMAT.md.
func newExample(t testing.TB) container {
	t.Helper()
	meta, err := Meta{
		Architecture:    "gpt2",
		Hyperparameters: json.RawMessage(`{"n_layer":0}`),
		Mode:            "f32",
		Sources:         map[string]string{},
		Specification:   Specification,
		Tool:            "tti 0.1.0",
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	bias, err := binary.Append(nil, binary.LittleEndian, []float32{0.5, -1, 0})
	if err != nil {
		t.Fatal(err)
	}
	return container{
		sections: []Section{
			{Name: MetaName, Kind: KindMeta, Encoding: Bytes, Shape: []int{len(meta)}},
			{Name: "ln_f.bias", Kind: KindTensor, Encoding: Float32, Shape: []int{3}},
		},
		contents: [][]byte{meta, bias},
	}
}

func sampleMeta() Meta {
	return Meta{
		Architecture:    "gpt2",
		Hyperparameters: json.RawMessage(`{"n_layer": 2, "layer_norm_epsilon": 1e-05, "activation": "<gelu>"}`),
		Mode:            "int4",
		Sources:         map[string]string{"model.safetensors": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "config.json": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"},
		Specification:   Specification,
		Tool:            "tti 0.1.0",
	}
}

// fill writes a section in two pieces, as a converter does.
func (s container) fill(_ context.Context, i int, w io.Writer) error {
	half := len(s.contents[i]) / 2
	if _, err := w.Write(s.contents[i][:half]); err != nil {
		return err
	}
	_, err := w.Write(s.contents[i][half:])
	return err
}

// write writes the sample to a new file and returns its path.
func (s container) write(t testing.TB, opts WriteOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.tti")
	opts.NoSync = true
	if err := Write(context.Background(), path, s.sections, s.fill, opts); err != nil {
		t.Fatal(err)
	}
	return path
}

// bytes returns the sample as the bytes of a file.
func (s container) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(s.write(t, WriteOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
