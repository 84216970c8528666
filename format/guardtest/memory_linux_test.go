package guardtest

import (
	"runtime/debug"
	"testing"
	"unsafe"
)

// TestNeighboursCannotBeTouched reads the byte beyond the guarded end of slices.
func TestNeighboursCannotBeTouched(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, side := range Sides {
		m := New(t, side)
		for _, n := range []int{1, 3, 4096, 5000} {
			values := Copy(m, make([]byte, n))
			values[0], values[n-1] = 1, 2
			neighbour := unsafe.Add(unsafe.Pointer(&values[0]), -1)
			if side == After {
				neighbour = unsafe.Add(unsafe.Pointer(&values[n-1]), 1)
			}
			fault := func() (fault any) {
				defer func() { fault = recover() }()
				return *(*byte)(neighbour) == 0 && false
			}()
			if _, ok := fault.(interface{ Addr() uintptr }); !ok {
				t.Errorf("%v of %d bytes can be read: %v", side, n, fault)
			}
		}
		m.Free()
	}
}
