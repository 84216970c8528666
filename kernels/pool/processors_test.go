package pool

import (
	"runtime"
	"testing"
)

func TestFastest(t *testing.T) {
	for _, c := range []struct {
		machine string
		speeds  []int
		want    int
	}{
		{"nothing is known", nil, 0},
		{"one kind", []int{1024, 1024}, 2},
		{"Raspberry Pi 5", []int{1024, 1024, 1024, 1024}, 4},
		{"RK3588: four and four", []int{530, 530, 530, 530, 1024, 1024, 1024, 1024}, 8}, // 8 times 530 is more than 4 times 1,024
		{"RK3399: four and two", []int{485, 485, 485, 485, 1024, 1024}, 6},
		{"Snapdragon 845", []int{381, 381, 381, 381, 1024, 1024, 1024, 1024}, 4},
		{"three kinds", []int{250, 250, 250, 250, 900, 900, 900, 1024}, 4},
		{"one fast", []int{100, 100, 100, 1024}, 1},
	} {
		if got := fastest(c.speeds); got != c.want {
			t.Errorf("%s: %d, want %d", c.machine, got, c.want)
		}
	}
}

func TestProcessors(t *testing.T) {
	if n := Processors(); n < 1 || n > runtime.GOMAXPROCS(0) {
		t.Errorf("%d of %d processors", n, runtime.GOMAXPROCS(0))
	}
}
