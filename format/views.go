package format

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// littleEndian is whether this machine's numbers lie in memory as they lie in a file. Views of a
// file make sense only then.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Float32s views little-endian bytes as float32 without a copy. It panics unless b starts at a
// multiple of 4 and is a multiple of 4 bytes long, as a section or a whole number of values of
// one always does.
func Float32s(b []byte) []float32 { return view[float32](b) }

// Uint32s views little-endian bytes as uint32, under the same conditions as Float32s.
func Uint32s(b []byte) []uint32 { return view[uint32](b) }

// Uint16s views little-endian bytes as uint16, for instance the bits of binary16 numbers. It
// panics unless b starts at a multiple of 2 and is a multiple of 2 bytes long.
func Uint16s(b []byte) []uint16 { return view[uint16](b) }

// view is safe because the result covers exactly the bytes of b, its alignment is checked, every
// bit pattern is a value of T, and the result keeps b's memory alive as any slice of it does.
// (A mapping is kept alive by its File alone, for both.)
func view[T float32 | uint32 | uint16](b []byte) []T {
	var value T
	size := unsafe.Sizeof(value)
	start := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(start)%unsafe.Alignof(value) != 0 || uintptr(len(b))%size != 0 {
		panic(fmt.Sprintf("format: %d bytes at %p do not hold whole, aligned %T values", len(b), start, value))
	}
	return unsafe.Slice((*T)(start), uintptr(len(b))/size)
}

// aligned returns data, or a copy of it, starting at a multiple of Alignment. Only the address is
// looked at; nothing is read or written through it.
func aligned(data []byte) []byte {
	misalignment := func(b []byte) int {
		return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % Alignment)
	}
	if misalignment(data) == 0 {
		return data
	}
	room := make([]byte, len(data)+Alignment)
	room = room[(Alignment-misalignment(room))%Alignment:][:len(data):len(data)]
	copy(room, data)
	return room
}
