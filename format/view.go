package format

import (
	"fmt"
	"unsafe"
)

// Float32s returns little-endian bytes as float32 values without copying them. It panics if b is
// not aligned to 4 bytes or its length is no multiple of 4: sections and all that Encoding.Size
// counts in them are.
func Float32s(b []byte) []float32 { return view[float32](b) }

// Uint32s is Float32s for uint32.
func Uint32s(b []byte) []uint32 { return view[uint32](b) }

// Uint16s is Float32s for uint16, with alignment 2. It is also the view of binary16 values.
func Uint16s(b []byte) []uint16 { return view[uint16](b) }

// view is safe because every bit pattern is a value of these types, the result covers exactly the
// bytes of b and keeps them alive as b does, and alignment is checked. Files are little-endian;
// Open refuses on other machines.
func view[T float32 | uint32 | uint16](b []byte) []T {
	var element T
	size := int(unsafe.Sizeof(element))
	data := unsafe.Pointer(unsafe.SliceData(b))
	if len(b)%size != 0 || uintptr(data)%uintptr(size) != 0 {
		panic(fmt.Sprintf("format: %d bytes at %p are no aligned %d-byte values", len(b), data, size))
	}
	return unsafe.Slice((*T)(data), len(b)/size)
}
