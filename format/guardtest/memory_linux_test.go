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

// workspace has slices in all places where Move looks for them.
type workspace struct {
	values, alias []float32
	parts         [1]struct{ codes []int8 }
	threads       []struct {
		own    []int
		shared []float32
	}
	names   []string
	pointer *[]float32
	none    []float32
}

func TestMove(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	m := New(t, After)
	values, behind := []float32{1, 2, 3}, []float32{9}
	w := workspace{values: values, alias: values, names: []string{"x"}, pointer: &behind}
	w.parts[0].codes = []int8{4, 5}
	w.threads = make([]struct {
		own    []int
		shared []float32
	}, 2)
	for i := range w.threads {
		w.threads[i].own, w.threads[i].shared = []int{6}, values
	}
	if n := Move(m, &w); n != 4 {
		t.Errorf("%d slices moved, want 4", n)
	}
	values[0] = 7 // of the slice as it was
	w.values[1] = 8
	if w.alias[0] != 1 || w.alias[1] != 8 || w.threads[1].shared[1] != 8 || w.parts[0].codes[1] != 5 || w.threads[1].own[0] != 6 {
		t.Errorf("it now holds %v", w)
	}
	for _, end := range []unsafe.Pointer{
		unsafe.Add(unsafe.Pointer(&w.values[2]), 4), unsafe.Add(unsafe.Pointer(&w.parts[0].codes[1]), 1), unsafe.Add(unsafe.Pointer(&w.threads[0].own[0]), 8),
	} {
		fault := func() (fault any) {
			defer func() { fault = recover() }()
			return *(*byte)(end) == 0 && false
		}()
		if _, ok := fault.(interface{ Addr() uintptr }); !ok {
			t.Errorf("what lies behind can be read: %v", fault)
		}
	}
	w.none = []float32{1}
	if n := Move(m, &w); n != 1 {
		t.Errorf("%d slices moved the second time, want 1", n)
	}
}
