package guardtest

import (
	"reflect"
	"unsafe"
)

// Move moves the numbers of all slices that a struct holds, also within structs and slices of structs in it, into guarded
// memory, and returns how many slices it has moved. Slices of the same memory remain so. Those that are guarded already
// stay where they are, and what lies behind pointers is left alone. It fails where slices overlap in part.
func Move(m *Memory, pointer any) int {
	m.t.Helper()
	v := mover{memory: m, places: map[unsafe.Pointer]reflect.Value{}}
	v.visit(reflect.ValueOf(pointer).Elem())
	return len(v.places)
}

type mover struct {
	memory *Memory
	places map[unsafe.Pointer]reflect.Value // where slices have been moved to, by where they were
	spans  []span                           // of the slices as they were
}

type span struct{ start, end uintptr }

func (v *mover) visit(value reflect.Value) {
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			v.visit(value.Field(i))
		}
	case reflect.Array:
		for i := range value.Len() {
			v.visit(value.Index(i))
		}
	case reflect.Slice:
		if kind := value.Type().Elem().Kind(); kind >= reflect.Int && kind <= reflect.Complex128 {
			v.move(value)
			return
		}
		for i := range value.Len() {
			v.visit(value.Index(i))
		}
	}
}

// move moves one slice of numbers.
//
// The conversions are safe: the memory is as long as the slice, aligned as Copy says, and lives until Free; the field is
// addressable, as it was reached from a pointer, and may be set although others may not name it.
func (v *mover) move(slice reflect.Value) {
	v.memory.t.Helper()
	from, size := slice.UnsafePointer(), uintptr(slice.Len())*slice.Type().Elem().Size()
	if size == 0 || v.memory.holds(from) {
		return
	}
	to, known := v.places[from]
	if !known {
		s := span{uintptr(from), uintptr(from) + size}
		for _, other := range v.spans {
			if s.start < other.end && other.start < s.end {
				v.memory.t.Fatalf("slices of %v overlap", slice.Type())
			}
		}
		v.spans = append(v.spans, s)
		to = reflect.SliceAt(slice.Type().Elem(), unsafe.Pointer(unsafe.SliceData(v.memory.Bytes(int(size)))), slice.Len())
		reflect.Copy(to, reflect.NewAt(slice.Type(), unsafe.Pointer(slice.UnsafeAddr())).Elem())
		v.places[from] = to
	}
	if to.Type().Elem() != slice.Type().Elem() || to.Len() != slice.Len() {
		v.memory.t.Fatalf("slices of %v, %d and %d long, begin at one place", slice.Type(), to.Len(), slice.Len())
	}
	reflect.NewAt(slice.Type(), unsafe.Pointer(slice.UnsafeAddr())).Elem().Set(to.Convert(slice.Type()))
}

// holds reports whether an address is in guarded memory.
func (m *Memory) holds(address unsafe.Pointer) bool {
	for _, mapping := range m.mappings {
		if start := uintptr(unsafe.Pointer(unsafe.SliceData(mapping))); uintptr(address)-start < uintptr(len(mapping)) {
			return true
		}
	}
	return false
}
