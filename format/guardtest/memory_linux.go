package guardtest

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// Side says at which end a slice touches a page that cannot be touched. The other end is at most a page away from one.
type Side int

const (
	Before Side = iota // the slice begins right behind such a page
	After              // the slice ends right before one
)

// Sides are all there are, for loops.
var Sides = []Side{Before, After}

func (s Side) String() string { return [...]string{"guard before", "guard after"}[s] }

// Memory hands out guarded slices, all with the guard at the same side.
type Memory struct {
	t        testing.TB
	side     Side
	mappings [][]byte
}

// New returns memory that ends with the test, or with Free.
func New(t testing.TB, side Side) *Memory {
	m := &Memory{t: t, side: side}
	t.Cleanup(m.Free)
	return m
}

// Free ends all slices. The memory can be used anew.
func (m *Memory) Free() {
	for _, mapping := range m.mappings {
		if err := syscall.Munmap(mapping); err != nil {
			m.t.Error(err)
		}
	}
	m.mappings = m.mappings[:0]
}

// Bytes returns n zeros.
func (m *Memory) Bytes(n int) []byte {
	m.t.Helper()
	page := os.Getpagesize()
	inside := max(1, (n+page-1)/page) * page
	mapping, err := syscall.Mmap(-1, 0, inside+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		m.t.Fatal(err)
	}
	m.mappings = append(m.mappings, mapping)
	for _, guard := range [][]byte{mapping[:page], mapping[page+inside:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			m.t.Fatal(err)
		}
	}
	start := page
	if m.side == After {
		start = page + inside - n
	}
	return mapping[start : start+n : start+n]
}

// Copy returns a copy of values in guarded memory.
//
// The conversion is safe: the memory is as long as the values, begins at a multiple of their size, since a page does and
// its length is one, and lives until Free.
func Copy[T int8 | byte | uint16 | int32 | float32](m *Memory, values []T) []T {
	m.t.Helper()
	var value T
	b := m.Bytes(len(values) * int(unsafe.Sizeof(value)))
	if len(values) == 0 {
		return nil
	}
	guarded := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(values))
	copy(guarded, values)
	return guarded
}
