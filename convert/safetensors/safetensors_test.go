package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	library "github.com/nlpodyssey/safetensors"
)

// TestLayout has the library, which insists on exact offsets, read what is laid out here.
func TestLayout(t *testing.T) {
	tensors := []Tensor{{"b", []int{3, 5}}, {"a", []int{7}}, {`odd "name" <Ġ>`, []int{1, 2, 3}}, {"scalar", []int{}}}
	for _, dtype := range []Type{F32, F16, BF16} {
		layout, err := NewLayout(dtype, tensors)
		if err != nil {
			t.Fatal(err)
		}
		file := make([]byte, layout.Size)
		copy(file, layout.Header)
		for i, tensor := range tensors {
			if (layout.Offsets[i]-int64(len(layout.Header)))%2 != 0 || len(layout.Header)%8 != 0 {
				t.Errorf("%s %s begins at %d", dtype, tensor.Name, layout.Offsets[i])
			}
			for k := range tensor.Values() * dtype.Size() {
				file[layout.Offsets[i]+int64(k)] = byte(i + 1)
			}
		}
		read, err := library.Deserialize(file)
		if err != nil {
			t.Fatal(err)
		}
		if read.Len() != len(tensors) {
			t.Errorf("%s: %d tensors, want %d", dtype, read.Len(), len(tensors))
		}
		for i, tensor := range tensors {
			got, ok := read.Tensor(tensor.Name)
			want := bytes.Repeat([]byte{byte(i + 1)}, tensor.Values()*dtype.Size())
			if !ok || got.DType().String() != string(dtype) || len(got.Shape()) != len(tensor.Shape) || !bytes.Equal(got.Data(), want) {
				t.Errorf("%s %s: %v %v, %d bytes", dtype, tensor.Name, got.DType(), got.Shape(), got.DataLen())
			}
		}
	}
}

// TestBFloat16 compares with the nearer of the two numbers that cutting off the lower half of a
// float32 gives.
func TestBFloat16(t *testing.T) {
	values := []float32{0, float32(math.Copysign(0, -1)), 1, 1.00390625, 1.01171875, math.SmallestNonzeroFloat32, float32(math.Inf(-1))}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		if x := math.Float32frombits(random.Uint32()); math.Abs(float64(x)) < 3.3e38 {
			values = append(values, x)
		}
	}
	for _, x := range values {
		var code [2]byte
		if n := BF16.Encode(code[:], []float32{x}); n != 1 && !math.IsInf(float64(x), 0) {
			t.Fatalf("%v is refused", x)
		}
		got := binary.LittleEndian.Uint16(code[:])
		down := uint16(math.Float32bits(x) >> 16)
		value := func(code uint16) float64 { return float64(math.Float32frombits(uint32(code) << 16)) }
		want := down
		if below, above := math.Abs(float64(x)-value(down)), math.Abs(value(down+1)-float64(x)); above < below || above == below && down%2 == 1 {
			want = down + 1
		}
		if got != want {
			t.Errorf("%v becomes %#x, want %#x", x, got, want)
		}
	}
	var code [2]byte
	if BF16.Encode(code[:], []float32{math.Float32frombits(0x7f800001)}) != 1 || value16(code) == value16(code) {
		t.Errorf("NaN becomes %v", value16(code))
	}
}

func value16(code [2]byte) float32 {
	return math.Float32frombits(uint32(binary.LittleEndian.Uint16(code[:])) << 16)
}

// TestTooLarge wants the number of values before the one that is.
func TestTooLarge(t *testing.T) {
	for dtype, x := range map[Type]float32{F16: 65520, BF16: math.MaxFloat32} {
		if n := dtype.Encode(make([]byte, 100), []float32{1, -2, x, 3}); n != 2 {
			t.Errorf("%s: %d values, want 2", dtype, n)
		}
		if n := dtype.Encode(make([]byte, 100), []float32{1, -2, 65503}); n != 3 {
			t.Errorf("%s: %d values, want 3", dtype, n)
		}
	}
	content := make([]byte, 8)
	if n := F32.Encode(content, []float32{math.MaxFloat32, -0.5}); n != 2 || !slices.Equal(content, []byte{0xff, 0xff, 0x7f, 0x7f, 0, 0, 0, 0xbf}) {
		t.Errorf("% x", content)
	}
	if Type("F64").Size() != 0 {
		t.Error("F64 has a size")
	}
}
