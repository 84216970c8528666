package pool

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
)

func TestCapacities(t *testing.T) {
	machine := fstest.MapFS{}
	for i, capacity := range []int{446, 446, 446, 446, 871, 871, 871, 1024} {
		machine[fmt.Sprintf("cpu%d/cpu_capacity", i)] = &fstest.MapFile{Data: fmt.Appendln(nil, capacity)}
	}
	all := func(i int) bool { return i < 8 }
	if got := capacities(machine, all); !slices.Equal(got, []int{446, 446, 446, 446, 871, 871, 871, 1024}) {
		t.Errorf("all: %v", got)
	}
	if got := capacities(machine, func(i int) bool { return i == 3 || i == 7 }); !slices.Equal(got, []int{446, 1024}) {
		t.Errorf("two of them: %v", got)
	}
	machine["cpu5/cpu_capacity"].Data = []byte("?\n")
	if got := capacities(machine, all); got != nil {
		t.Errorf("one is no number: %v", got)
	}
	delete(machine, "cpu5/cpu_capacity")
	if got := capacities(machine, all); got != nil {
		t.Errorf("one is not known: %v", got)
	}
}
