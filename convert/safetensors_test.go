package convert

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// safetensorsFile puts a header in front of data.
func safetensorsFile(header string, data int) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(file, header...), make([]byte, data)...)
}

func TestReadSafetensors(t *testing.T) {
	file := safetensorsFile(`{"__metadata__":{"format":"pt"},
		"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},
		"none":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},
		"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
		"scalar":{"dtype":"F32","shape":[],"data_offsets":[16,20]}}  `, 20)
	file[len(file)-20+4] = 42
	tensors, err := readSafetensors(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range tensors {
		got = append(got, fmt.Sprint(x.name, " ", x.dtype, " ", x.shape, " ", len(x.data)))
	}
	want := "a U8 [4] 4; none F32 [0 7] 0; b F16 [2 3] 12; scalar F32 [] 4"
	if strings.Join(got, "; ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "; "), want)
	}
	if b := tensors[2].data; b[0] != 42 || cap(b) != len(b) {
		t.Errorf("b holds %v, capacity %d", b, cap(b))
	}
}

// refusedFiles are safetensors files that must not be accepted, with what the error must say.
var refusedFiles = []struct {
	name string
	file []byte
	want string
}{
	{"empty", nil, "too few"},
	{"no header", []byte("1234567"), "too few"},
	{"header past the end", append([]byte{9, 0, 0, 0, 0, 0, 0, 0}, "{}"...), "header of 9 bytes in a file of 10"},
	{"huge header", []byte{0, 0, 0, 0, 0, 0, 0, 0x80, '{', '}'}, "at most"},
	{"length overflow", []byte{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, "at most"},
	{"not an object", safetensorsFile(`null`, 0), "not a JSON object"},
	{"blank before it", safetensorsFile(` {}`, 0), "not a JSON object"},
	{"two objects", safetensorsFile(`{}{}`, 0), "header"},
	{"unfinished", safetensorsFile(`{"a":{"dtype":"F32","shape":[1]`, 4), "header"},
	{"overlap", safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}}`, 7), "tensor b: begins at byte 3, where tensor a ends only at 4"},
	{"inside another", safetensorsFile(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, 8), "tensor b: begins at byte 2"},
	{"hole", safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}`, 9), "tensor b: begins at byte 5, leaving a hole from 4"},
	{"oversized", safetensorsFile(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, 15), "tensor a: bytes 0 to 16 of 15"},
	{"far out", safetensorsFile(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615]}}`, 16), "tensor a: bytes 0 to 18446744073709551615 of 16"},
	{"backwards", safetensorsFile(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}`, 16), "tensor a: bytes 16 to 0"},
	{"too many bytes", safetensorsFile(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}`, 16), "tensor a: 16 bytes do not hold F32 of shape [3]"},
	{"product overflows", safetensorsFile(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "tensor a: 0 bytes do not hold"},
	{"product wraps to the size", safetensorsFile(`{"a":{"dtype":"U8","shape":[9223372036854775809,2],"data_offsets":[0,2]}}`, 2), "tensor a: 2 bytes do not hold"},
	{"dimension beyond int", safetensorsFile(`{"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}`, 0), "tensor a: shape [0 18446744073709551615] is out of range"},
	{"trailing bytes", safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 5), "1 bytes after the last tensor"},
	{"no tensors, bytes", safetensorsFile(`{}`, 1), "1 bytes after"},
	{"unknown type", safetensorsFile(`{"a":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]}}`, 4), "F8_E5M2"},
	{"negative dimension", safetensorsFile(`{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}`, 4), `"a"`},
	{"fractional dimension", safetensorsFile(`{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}`, 4), `"a"`},
	{"no shape", safetensorsFile(`{"a":{"dtype":"U8","data_offsets":[0,4]}}`, 4), `"a"`},
	{"null tensor", safetensorsFile(`{"a":null}`, 0), `"a"`},
	{"three offsets", safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}}`, 4), `"a"`},
	{"name twice", safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4), `"a" occurs twice`},
	{"name twice, escaped", safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\u0061":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4), `"a" occurs twice`},
	{"key twice", safetensorsFile(`{"a":{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]}}`, 4), `"dtype" occurs twice`},
	{"key folded", safetensorsFile(`{"a":{"Dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4), `missing "dtype"`},
	{"key folded and plain", safetensorsFile(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"data_offſets":[0,4]}}`, 4), "expected 3 keys"},
	{"half a surrogate pair", safetensorsFile(`{"\ud800":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4), "half of a surrogate pair"},
	{"name of two lines", safetensorsFile(`{"a\nb":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4), `"a\nb" is not a plain name`},
	{"long name", safetensorsFile(`{"`+strings.Repeat("x", 1<<20)+`":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4), "is not a plain name"},
	{"high rank", safetensorsFile(`{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]}}`, 4), "tensor a: 9 dimensions, at most 8"},
	{"deep", safetensorsFile(`{"a":{"b":[[0]]}}`, 0), "nested deeper"},
	{"very deep", safetensorsFile(`{"a":`+strings.Repeat("[", 1<<20), 0), "exceeded max depth"},
	{"many names", safetensorsFile(`{"__metadata__":{`+strings.Repeat(`"":"",`, 1<<17)+`"":""}}`, 0), "twice"},
	{"many values", safetensorsFile(`{`+manyTensors(20_000)+`}`, 0), "more than 200000 names and values"},
	{"long value", safetensorsFile(`{"a":{"dtype":"`+strings.Repeat("x", 1<<20)+`","shape":[4],"data_offsets":[0,4]}}`, 4), "xxx..."},
}

func manyTensors(count int) string {
	var text []string
	for i := range count {
		text = append(text, fmt.Sprintf(`"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i))
	}
	return strings.Join(text, ",")
}

func TestReadSafetensorsRefuses(t *testing.T) {
	for _, c := range refusedFiles {
		t.Run(c.name, func(t *testing.T) {
			tensors, err := readSafetensors(c.file)
			if err == nil {
				t.Fatalf("accepted as %v", tensors)
			}
			checkMessage(t, err, c.want)
		})
	}
}

// checkMessage checks that an error is one line of reasonable length that says what it must.
func checkMessage(t *testing.T, err error, want string) {
	t.Helper()
	message := err.Error()
	if !strings.Contains(message, want) {
		t.Errorf("error %q, want %q in it", message, want)
	}
	if strings.ContainsAny(message, "\n\r\x1b") || len(message) > 600 {
		t.Errorf("error is not one short line: %.700q", message)
	}
}

// What is accepted covers the data exactly once, whatever the header says.
func FuzzSafetensors(f *testing.F) {
	for _, c := range refusedFiles {
		if len(c.file) < 1000 {
			f.Add(c.file)
		}
	}
	f.Add(safetensorsFile(`{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 16))
	f.Fuzz(func(t *testing.T, file []byte) {
		tensors, err := readSafetensors(file)
		if err != nil {
			checkMessage(t, err, "")
			return
		}
		covered := 0
		for _, x := range tensors {
			size := int(x.dtype.Size())
			for _, n := range x.shape {
				size *= n
			}
			if size != len(x.data) {
				t.Errorf("%s: %d bytes for %v of shape %v", x.name, len(x.data), x.dtype, x.shape)
			}
			covered += len(x.data)
		}
		if want := len(file) - 8 - int(binary.LittleEndian.Uint64(file)); covered != want {
			t.Errorf("tensors cover %d of %d bytes", covered, want)
		}
	})
}
