package format

import (
	"fmt"
	"path/filepath"
	"testing"
)

func BenchmarkOpen(b *testing.B) {
	path := newSample(b).write(b, WriteOptions{})
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// benchmarkContainer holds 8 tensors of 8 MiB.
func benchmarkContainer(b *testing.B) container {
	c := newSample(b)
	content := make([]byte, 8<<20)
	for i := range 8 {
		c.sections = append(c.sections, Section{Name: fmt.Sprint(i), Kind: KindTensor, Encoding: Float32, Shape: []int{len(content) / 4}})
		c.contents = append(c.contents, content)
	}
	b.SetBytes(8 * int64(len(content)))
	return c
}

func BenchmarkWrite(b *testing.B) {
	c := benchmarkContainer(b)
	path := filepath.Join(b.TempDir(), "out.tti")
	for b.Loop() {
		if err := Write(b.Context(), path, c.sections, c.fill, WriteOptions{NoSync: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	f, err := Open(benchmarkContainer(b).write(b, WriteOptions{}))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if err := f.Verify(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
